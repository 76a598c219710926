"""Many streaming clients at once while a batch runs: errors, times, memory.

    python bench/load.py [--clients N] [--seconds N] [--think SECONDS] [--batch N] [--json FILE]

Each client has a conversation with a container of its own, and asks again as soon as it has its answer (or after
`--think` seconds): the model says something, has a command run, and says something more, at the pace of a model. A
batch of such requests, whose containers are new ones, runs beside them all the time and is cancelled at the end. Every
answer is either whole and right, or one of the documented refusals: 429 or 529 with `retry-after`, `too_many_requests`
as the result of a call. Anything else is counted with its kind, and makes the exit code 1.

The model is a server of its own (`harness/model.py`). What it costs is said: its CPU time, and how long it takes itself
to its first byte at the same time, for a client that asks it directly once a second.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir
from harness.model import PACE_SECONDS, model_server, question

KEY = "cove-bench"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
REFUSALS = (429, 529)
WORDS = 20
WATCH_SECONDS = 2.0
BATCHES = "/v1/messages/batches"


class Unexpected(Exception):
    """An answer that no document promises. The message is its kind."""


class Refused(Exception):
    """A documented refusal: its kind, and the seconds after which to ask again."""

    def __init__(self, kind: str, after: float) -> None:
        super().__init__(kind)
        self.after = after


@dataclass
class Seen:
    """What the clients saw. Times are in seconds."""

    first_byte: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    model_first_byte: list[float] = field(default_factory=list)
    """Of the model's server itself."""
    outcomes: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """When, and the MiB of the server's process."""
    files: list[int] = field(default_factory=list)
    """Open files of the server's process."""


async def talk(client: httpx2.AsyncClient, seen: Seen, name: int, until: float, think: float) -> None:
    """One client, until the time is up."""
    container, number = None, 0
    while (now := time.monotonic()) < until:
        number += 1
        try:
            container = await ask(client, seen, f"{name}-{number}", container)
        except Refused as refusal:
            seen.outcomes[str(refusal)] += 1
            await asyncio.sleep(min(refusal.after, max(until - now, 0)))
        except (Unexpected, httpx2.HTTPError) as error:
            seen.unexpected[f"{type(error).__name__}: {error}"] += 1
            container = None
        else:
            await asyncio.sleep(random.uniform(0, 2 * think))


async def ask(client: httpx2.AsyncClient, seen: Seen, name: str, container: str | None) -> str | None:
    """One question and its answer, which is checked. The value is the container."""
    body = question(f"$ echo answer-{name}", pace=PACE_SECONDS, words=WORDS, tool=True) | {"stream": True}
    began = time.monotonic()
    text, first = "", None
    async with client.stream(
        "POST", "/v1/messages", json=body | ({"container": container} if container else {})
    ) as answer:
        async for chunk in answer.aiter_text():
            first = first or time.monotonic()
            text += chunk
    if answer.status_code in REFUSALS and "retry-after" in answer.headers:
        raise Refused(str(answer.status_code), float(answer.headers["retry-after"]))
    if answer.status_code != 200:
        raise Unexpected(f"{answer.status_code}, retry-after {answer.headers.get('retry-after')}: {text[:300]}")
    container = judge(text, f"answer-{name}\n", container)
    assert first is not None
    seen.first_byte.append(first - began)
    seen.whole.append(time.monotonic() - began)
    seen.outcomes["ok"] += 1
    return container


def judge(text: str, expected: str, container: str | None) -> str | None:
    """The container of an answer that is whole and right. Raises `Refused` or `Unexpected`."""
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
    if events and events[-1]["type"] == "error":
        error = events[-1]["error"]
        if error["type"] in ("overloaded_error", "rate_limit_error"):
            raise Refused(f"{error['type']} in the stream", 1)
        raise Unexpected(f"an error in the stream: {error}")
    results = [
        event["content_block"]["content"]
        for event in events
        if event["type"] == "content_block_start" and event["content_block"]["type"].endswith("_tool_result")
    ]
    if not events or events[-1]["type"] != "message_stop" or len(results) != 1:
        raise Unexpected(f"not an answer: {text[-300:]}")
    if results[0].get("error_code") == "too_many_requests":
        raise Refused("too_many_requests as a result", 1)
    if results[0].get("stdout") != expected:
        raise Unexpected(f"a wrong result: {results[0].get('error_code')} {results[0].get('error_message')}")
    delta = next(event["delta"] for event in events if event["type"] == "message_delta")
    return str(delta["container"]["id"]) if "container" in delta else container


async def run_batch(client: httpx2.AsyncClient, size: int, until: float) -> dict[str, Any]:
    """A batch that runs until the time is up, and is cancelled then."""
    if not size:
        return {}
    requests = [
        {"custom_id": f"r{number}", "params": question("$ echo hi", pace=PACE_SECONDS, words=WORDS, tool=True)}
        for number in range(size)
    ]
    began = time.monotonic()
    answer = await client.post(BATCHES, json={"requests": requests})
    answer.raise_for_status()
    created = time.monotonic() - began
    path = f"{BATCHES}/{answer.json()['id']}"
    await asyncio.sleep(max(until - time.monotonic(), 0))
    (await client.post(f"{path}/cancel")).raise_for_status()
    batch = (await client.get(path)).json()
    while batch["processing_status"] != "ended":
        await asyncio.sleep(0.5)
        batch = (await client.get(path)).json()
    counts = batch["request_counts"]
    results = [json.loads(line)["result"] for line in (await client.get(f"{path}/results")).text.splitlines()]
    kinds = Counter(result["type"] for result in results)
    if sum(counts.values()) != size or {name: number for name, number in counts.items() if number} != dict(kinds):
        raise Unexpected(f"the batch's counts are {counts}, its results {dict(kinds)}")
    return {
        "created in, s": round(created, 2),
        "counts": dict(kinds),
        "it ran all the time": counts["canceled"] > 0,
        "ended after the cancellation in, s": round(time.monotonic() - until, 1),
    }


async def watch(server: ServerProcess, seen: Seen, until: float) -> None:
    """The server's own process, every two seconds."""
    while time.monotonic() < until:
        seen.memory.append((time.monotonic(), resident(server.pid)))
        seen.files.append(open_files(server.pid))
        await asyncio.sleep(WATCH_SECONDS)


async def probe(model: int, seen: Seen, until: float) -> None:
    """How long the model's server takes by itself to its first byte, once a second."""
    body = question("Go", pace=0, words=1, tool=False)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{model}", timeout=60) as client:
        while time.monotonic() < until:
            began = time.monotonic()
            async with client.stream("POST", "/v1/messages", json=body) as answer:
                first = None
                async for _ in answer.aiter_bytes():
                    first = first or time.monotonic() - began
            seen.model_first_byte.append(first or 0.0)
            await asyncio.sleep(1)


def resident(pid: int) -> float:
    """MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_seconds(pid: int) -> float:
    """That a process has taken, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds() -> float:
    """That all of the machine has taken."""
    fields = [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(server: ServerProcess, model: tuple[int, int], arguments: argparse.Namespace) -> dict[str, Any]:
    seen = Seen()
    port, model_pid = model
    limits = httpx2.Limits(max_connections=None)
    before = (machine_cpu_seconds(), cpu_seconds(server.pid), cpu_seconds(model_pid), own_cpu_seconds())
    began = time.monotonic()
    until = began + arguments.seconds
    async with (
        httpx2.AsyncClient(base_url=server.url, headers=HEADERS, timeout=300, limits=limits) as client,
        asyncio.TaskGroup() as tasks,
    ):
        batch = tasks.create_task(run_batch(client, arguments.batch, until))
        tasks.create_task(watch(server, seen, until))
        tasks.create_task(probe(port, seen, until))
        for name in range(arguments.clients):
            tasks.create_task(talk(client, seen, name, until, arguments.think))
    after = (machine_cpu_seconds(), cpu_seconds(server.pid), cpu_seconds(model_pid), own_cpu_seconds())
    machine, *processes = (later - earlier for earlier, later in zip(before, after, strict=True))
    lasted = time.monotonic() - began
    names = ("server", "model", "clients")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "clients, seconds, think": [arguments.clients, arguments.seconds, arguments.think],
        "answers a second": round(len(seen.whole) / arguments.seconds, 1),
        "outcomes": dict(seen.outcomes),
        "unexpected": dict(seen.unexpected),
        "first byte, s": summary(seen.first_byte),
        "of it the model's own, s": summary(seen.model_first_byte),
        "whole answer, s": summary(seen.whole),
        "server memory, MiB": memory_of(seen.memory),
        "server's open files": {"after a fifth": seen.files[len(seen.files) // 5], "at the end": seen.files[-1]},
        "CPUs taken": {
            **{name: round(used / lasted, 2) for name, used in zip(names, processes, strict=True)},
            "sandboxes and all else": round((machine - sum(processes)) / lasted, 2),
        },
        "batch": batch.result(),
    }


def memory_of(series: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The mean of each fifth of the time, and the growth in the last three of them, by a line through them."""
    fifth = max(len(series) // 5, 1)
    means = [
        round(statistics.mean(size for _, size in series[at : at + fifth]), 1) for at in range(0, fifth * 5, fifth)
    ]
    settled = series[2 * fifth :]
    slope = statistics.linear_regression([at for at, _ in settled], [size for _, size in settled]).slope
    return {
        "in each fifth": means,
        "most": round(max(size for _, size in series), 1),
        "growth at the end, MiB a minute": round(slope * 60, 2),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    points = statistics.quantiles(values, n=100, method="inclusive")
    return {"median": round(points[49], 3), "p90": round(points[89], 3), "p99": round(points[98], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument(
        "--think", type=float, default=0, help="seconds from an answer to the next question, on average"
    )
    parser.add_argument("--batch", type=int, default=5000, help="requests of the batch beside them; 0: none")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    # However it is ended, the server is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with temporary_data_dir() as data_dir, model_server() as model:
        settings = {
            "COVE_API_KEY": KEY,
            "COVE_LOG_LEVEL": "warning",
            "COVE_UPSTREAM_URL": f"http://127.0.0.1:{model[0]}",
        }
        with running_server(data_dir, settings) as server:
            results = asyncio.run(measure(server, model, arguments))
    for name, value in results.items():
        print(f"{name}: {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if results["unexpected"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
