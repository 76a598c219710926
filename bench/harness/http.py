"""What HTTP adds: the same request through `cove serve` and straight to a host, in turn; back to back ten by ten."""

import asyncio
import http.client
import json
import statistics
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from codecove.demo.process import running_server, temporary_data_dir
from harness.figures import Figures
from harness.requests import PACES
from harness.systems import Sandboxed, Stopwatch
from harness.workloads import ECHO

_IN_A_ROW = 10
"""Without pauses. After each request the next bash of that container is started: one by one in turn, each way would
wait for what the other had left to do, and not for its own."""
_WARM_UP = -10
_KEY = "cove-bench"
_CALL = {"name": "bash_code_execution", "input": {"command": "echo hi"}}


class _Client:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._headers = {"x-api-key": _KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {answer}")
        return dict(answer)


async def measure(sandboxed: Sequence[Sandboxed], figures: Figures, requests: int) -> None:
    """For each runtime: a server of its own, beside the host that is there already."""
    for system in sandboxed:
        environment = {"COVE_API_KEY": _KEY, "COVE_RUNTIME": system.name}
        with temporary_data_dir() as directory, running_server(directory, environment) as server:
            client = _Client(server.url)
            container = (await asyncio.to_thread(client.post, "/v1/containers", {}))["id"]
            path = f"/v1/containers/{container}/executions"
            for pace, pause in PACES.items():
                await _compare(system, client, path, figures, pace=pace, pause=pause, requests=requests)


async def _compare(
    system: Sandboxed, client: _Client, path: str, figures: Figures, *, pace: str, pause: float, requests: int
) -> None:
    def post() -> float:
        # The clock runs in the thread: a change of threads is no part of a request.
        watch = Stopwatch()
        client.post(path, _CALL)
        return watch.read()

    row = f"{ECHO.name} over HTTP, {pace}"
    direct = []
    in_a_row = 1 if pause else _IN_A_ROW
    for number in range(_WARM_UP, requests, in_a_row):
        for _ in range(in_a_row):
            await asyncio.sleep(pause)
            taken = await system.run(ECHO)
            assert taken is not None
            if number >= 0:
                direct.append(taken)
        for _ in range(in_a_row):
            await asyncio.sleep(pause)
            over_http = await asyncio.to_thread(post)
            if number >= 0:
                figures.took(row, system.name, over_http)
    added = statistics.median(figures.times[row][system.name]) - statistics.median(direct)
    figures.numbers[f"HTTP adds, {pace} (ms, median)"][system.name] = added
