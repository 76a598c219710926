"""How much later a client gets a model's words because codecove stands between.

    python bench/streaming.py [--tokens N] [--streams N] [--json FILE]

A model's server in a process of its own sends words at the pace of a model, each with the time at which it was sent
(the monotonic clock, which all processes of a machine share). A client reads them: once from that server itself, once
through `cove serve`, stream by stream in turn, so that what else the machine does hits both alike. What is reported is
the time from sending a word to having read it, and the difference between the two ways.
"""

import argparse
import asyncio
import json
import platform
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codecove.demo.process import running_server, temporary_data_dir
from harness.model import PACE_SECONDS, model_server, question

KEY = "cove-bench"
_STAMP = re.compile(rb"@(\d+)@")


async def stream(port: int, words: int, pace: float, *, tool: bool) -> tuple[list[float], float]:
    """Milliseconds from sending to having read, for each word; and seconds for the whole stream."""
    body = {**question("Go", pace=pace, words=words, tool=tool), "stream": True}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nhost: bench\r\nanthropic-version: 2023-06-01\r\nx-api-key: "
        + f"{KEY}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    delays: list[float] = []
    rest = b""
    while b"message_stop" not in rest:
        chunk = await reader.read(65536)
        now = time.monotonic_ns()
        if not chunk:
            raise SystemExit(f"the stream ended early: {rest[-300:]!r}")
        lines = (rest + chunk).split(b"\n")
        delays += [(now - int(stamp)) / 1e6 for line in lines[:-1] for stamp in _STAMP.findall(line)]
        rest = lines[-1] if b"message_stop" not in chunk else chunk
    writer.close()
    assert len(delays) == words, (len(delays), words)
    return delays, time.monotonic() - began


async def paced(ports: dict[str, int], words: int, streams: int, at_once: int) -> dict[str, list[float]]:
    """All delays by way. Each stream goes one way, then the other."""
    delays: dict[str, list[float]] = defaultdict(list)
    for _ in range(max(1, streams // at_once)):
        for way, port in ports.items():
            tool = way == "with the tool"
            running = [stream(port, words, PACE_SECONDS, tool=tool) for _ in range(at_once)]
            for some, _ in await asyncio.gather(*running):
                delays[way] += some
    return delays


async def unpaced(ports: dict[str, int], words: int) -> dict[str, float]:
    """Words a second through one stream whose model writes as fast as it can. The median of three."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(3):
        for way, port in ports.items():
            _, seconds = await stream(port, words, 0, tool=way == "with the tool")
            rates[way].append(words / seconds)
    return {way: round(statistics.median(some)) for way, some in rates.items()}


def summary(values: Sequence[float]) -> dict[str, float]:
    points = statistics.quantiles(values, n=100, method="inclusive")
    return {"median": round(points[49], 3), "p95": round(points[94], 3), "p99": round(points[98], 3)}


async def measure(model: int, server: int, arguments: argparse.Namespace) -> dict[str, Any]:
    ports = {"direct": model, "through codecove": server, "with the tool": server}
    await paced(ports, 20, 1, 1)  # connections, caches and imports are nobody's delay
    results: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}"}
    for at_once in (1, 10):
        delays = await paced(ports, arguments.tokens, arguments.streams, at_once)
        results[f"{at_once} at once, ms"] = {way: summary(values) for way, values in delays.items()}
        direct = statistics.median(delays["direct"])
        results[f"{at_once} at once, added ms (median)"] = {
            way: round(statistics.median(values) - direct, 3) for way, values in delays.items() if way != "direct"
        }
    results["words a second, unpaced"] = await unpaced(ports, 5000)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=100, help="words of a stream")
    parser.add_argument("--streams", type=int, default=10, help="streams of each way")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    with model_server() as (model, _), temporary_data_dir() as data_dir:
        settings = {"COVE_API_KEY": KEY, "COVE_UPSTREAM_URL": f"http://127.0.0.1:{model}", "COVE_LOG_LEVEL": "warning"}
        with running_server(data_dir, settings) as server:
            results = asyncio.run(measure(model, int(server.url.rpartition(":")[2]), arguments))
    for name, value in results.items():
        print(f"{name}:" if isinstance(value, dict) else f"{name}: {value}")
        for key, figures in value.items() if isinstance(value, dict) else ():
            print(f"  {key:18} {figures}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
