"""Many streaming clients at once while a batch runs: errors, times, memory.

    python bench/load.py [--clients N] [--seconds N] [--batch N] [--json FILE]

Each client has a conversation with a container of its own, and asks again as soon as it has its answer: the built-in
model runs a command in it. A batch of such requests, without containers of their own, runs beside them. Every answer
is either whole and right, or one of the documented refusals (429, 529); anything else ends the run.
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir

KEY = "cove-bench"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
TOOL = {"type": "code_execution_20250825", "name": "code_execution"}
REFUSALS = (429, 529)
PATIENCE_SECONDS = 600.0


@dataclass
class Seen:
    """What the clients saw."""

    first_byte: list[float] = field(default_factory=list)
    """Seconds."""
    whole: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    """Bytes of the server's process, every few seconds."""


def question(number: int) -> dict[str, Any]:
    """A request whose answer is known."""
    text = f"```bash\necho answer-{number}\n```"
    return {
        "model": "codecove/blocks",
        "max_tokens": 1024,
        "tools": [TOOL],
        "messages": [{"role": "user", "content": text}],
    }


async def talk(client: httpx2.AsyncClient, seen: Seen, name: int, until: float) -> None:
    """One client, until the time is up."""
    container, number = None, 0
    while time.monotonic() < until:
        number += 1
        body = question(name * 1_000_000 + number) | {"stream": True}
        began = time.monotonic()
        async with client.stream(
            "POST", "/v1/messages", json=body | ({"container": container} if container else {})
        ) as answer:
            if answer.status_code in REFUSALS:
                seen.outcomes[str(answer.status_code)] += 1
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
                continue
            text = ""
            async for chunk in answer.aiter_text():
                if not text:
                    seen.first_byte.append(time.monotonic() - began)
                text += chunk
        if answer.status_code != 200:
            raise SystemExit(f"{answer.status_code}: {text}")
        container, outcome = judge(text, f"answer-{name * 1_000_000 + number}", container)
        seen.outcomes[outcome] += 1
        seen.whole.append(time.monotonic() - began)


def judge(text: str, expected: str, container: str | None) -> tuple[str | None, str]:
    """The container of an answer, and what became of the request. Ends the run for anything that is not documented."""
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
    results = [
        event["content_block"]["content"]
        for event in events
        if event["type"] == "content_block_start" and event["content_block"]["type"].endswith("_tool_result")
    ]
    if events[-1]["type"] != "message_stop" or len(results) != 1:
        raise SystemExit(f"not an answer: {text[-2000:]}")
    for event in events:
        holder = event.get("delta", event.get("message", {}))
        if isinstance(holder, dict) and isinstance(holder.get("container"), dict):
            container = holder["container"]["id"]
    if results[0].get("error_code") == "too_many_requests":
        return container, "too_many_requests"
    if results[0].get("stdout") != f"{expected}\n":
        raise SystemExit(f"a wrong result: {results[0]}")
    return container, "ok"


async def run_batch(client: httpx2.AsyncClient, size: int) -> dict[str, Any]:
    """A batch, from its creation to its end."""
    if not size:
        return {}
    requests = [{"custom_id": f"request-{number}", "params": question(number)} for number in range(size)]
    began = time.monotonic()
    answer = await client.post("/v1/messages/batches", json={"requests": requests})
    if answer.status_code != 200:
        raise SystemExit(f"the batch was refused: {answer.text}")
    created, batch = time.monotonic() - began, answer.json()
    while batch["processing_status"] != "ended" and time.monotonic() - began < PATIENCE_SECONDS:
        await asyncio.sleep(1)
        batch = (await client.get(f"/v1/messages/batches/{batch['id']}")).json()
    counts = batch["request_counts"]
    return {"created, s": round(created, 2), "ended after, s": round(time.monotonic() - began, 1), "counts": counts}


async def watch(server: ServerProcess, seen: Seen, until: float) -> None:
    """The memory of the server's own process, every two seconds."""
    while time.monotonic() < until:
        seen.memory.append(resident(server.pid))
        await asyncio.sleep(2)


def resident(pid: int) -> int:
    """Bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def measure(server: ServerProcess, arguments: argparse.Namespace) -> dict[str, Any]:
    seen = Seen()
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=server.url, headers=HEADERS, timeout=300, limits=limits) as client:
        until = time.monotonic() + arguments.seconds
        async with asyncio.TaskGroup() as tasks:
            batch = tasks.create_task(run_batch(client, arguments.batch))
            tasks.create_task(watch(server, seen, until))
            for name in range(arguments.clients):
                tasks.create_task(talk(client, seen, name, until))
    third = max(len(seen.memory) // 3, 1)
    mib = [size / 2**20 for size in seen.memory]
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "answers a second": round(len(seen.whole) / arguments.seconds, 1),
        "outcomes": dict(seen.outcomes),
        "first byte, s": summary(seen.first_byte),
        "whole answer, s": summary(seen.whole),
        "server memory, MiB": {
            "first third, mean": round(statistics.mean(mib[:third])),
            "last third, mean": round(statistics.mean(mib[-third:])),
            "most": round(max(mib)),
        },
        "batch": batch.result(),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    points = statistics.quantiles(values, n=100, method="inclusive")
    return {"median": round(points[49], 3), "p90": round(points[89], 3), "p99": round(points[98], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--batch", type=int, default=1000, help="requests of the batch beside them; 0: none")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    with temporary_data_dir() as data_dir:
        settings = {"COVE_API_KEY": KEY, "COVE_LOG_LEVEL": "warning"}
        with running_server(data_dir, settings) as server:
            results = asyncio.run(measure(server, arguments))
    for name, value in results.items():
        print(f"{name}: {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
