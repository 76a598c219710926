"""Batches: how long a large one takes to be created, and what one that runs costs an interactive execution.

    .venv/bin/python bench/batches.py [--requests 100000] [--executions 15]

The second is a comparison within one run: the same execution in the same container, with the batch and without it.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir

KEY = "bench"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
TOOL = {"type": "code_execution_20250825", "name": "code_execution"}
PATH = "/v1/messages/batches"
WORK = "python3 -c 'print(sum(i * i for i in range(5_000_000)))'"


def params(text: str) -> dict[str, object]:
    return {
        "model": "codecove/blocks",
        "max_tokens": 1024,
        "tools": [TOOL],
        "messages": [{"role": "user", "content": text}],
    }


def body(number: int, text: str) -> Iterator[bytes]:
    yield b'{"requests":['
    for index in range(number):
        entry = {"custom_id": f"r{index}", "params": params(text)}
        yield (b"," if index else b"") + json.dumps(entry).encode()
    yield b"]}"


def memory(pid: int, field: str) -> float:
    """MiB, of `VmRSS` or `VmHWM`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def create(http: httpx2.Client, number: int, text: str) -> str:
    answer = http.post(PATH, content=b"".join(body(number, text)))
    answer.raise_for_status()
    return str(answer.json()["id"])


def creation(http: httpx2.Client, server: ServerProcess, number: int) -> None:
    before = memory(server.pid, "VmRSS")
    started = time.monotonic()
    batch_id = create(http, number, "x" * 100)
    created = time.monotonic() - started
    http.post(f"{PATH}/{batch_id}/cancel").raise_for_status()
    cancelled = time.monotonic() - started - created
    grown = memory(server.pid, "VmHWM") - before
    print(f"creating {number:,} requests: {created:.1f} s, cancelling: {cancelled:.1f} s, memory: +{grown:.0f} MiB")


def execution(http: httpx2.Client, container: str) -> float:
    """Seconds of one execution, as its client sees them."""
    started = time.monotonic()
    answer = http.post(
        f"/v1/containers/{container}/executions", json={"name": "bash_code_execution", "input": {"command": WORK}}
    )
    answer.raise_for_status()
    return time.monotonic() - started


def beside_a_batch(http: httpx2.Client, times: int) -> None:
    container = http.post("/v1/containers", json={}).json()["id"]
    execution(http, container)
    alone = [execution(http, container) for _ in range(times)]
    batch_id = create(http, 10_000, f"```bash\n{WORK}\n```")
    time.sleep(5)
    beside = [execution(http, container) for _ in range(times)]
    counts = http.get(f"{PATH}/{batch_id}", params={"counts": "now"}).json()["request_counts"]
    http.post(f"{PATH}/{batch_id}/cancel").raise_for_status()
    again = [execution(http, container) for _ in range(times)]
    for name, seconds in (("alone", alone), ("beside a batch of 10,000", beside), ("after it was cancelled", again)):
        print(f"an execution {name}: median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s")
    slower = statistics.median(beside) / statistics.median(alone + again) - 1
    print(f"slower by {slower:+.0%}; the batch had {counts['succeeded']} requests done meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="size of the batch that is created")
    parser.add_argument("--executions", type=int, default=15, help="measured in each state")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with (
        temporary_data_dir() as directory,
        running_server(directory, {"COVE_API_KEY": KEY}) as server,
        httpx2.Client(base_url=server.url, headers=HEADERS, timeout=600, trust_env=False) as http,
    ):
        beside_a_batch(http, chosen.executions)
        creation(http, server, chosen.requests)


if __name__ == "__main__":
    main()
