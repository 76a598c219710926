"""Other products that run without a daemon, each in a process of an environment of its own (scripts/peers.sh)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from harness.figures import Figures
from harness.systems import System
from harness.workloads import Workload

ENVIRONMENT = Path(__file__).parents[2] / ".cache/bench"
_WORKER = Path(__file__).parents[1] / "peers/worker.py"
NAMES = ("llm-sandbox", "swe-rex", "jupyter", "monty")
_START_SECONDS = 60


class Peer:
    """One of them. It takes its own times, so that the way to it costs it nothing."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    async def run(self, workload: Workload) -> float | None:
        """See `System`."""
        answer = await self._ask({"name": workload.name, "argv": list(workload.argv), "code": workload.code})
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        milliseconds = answer["milliseconds"]
        return None if milliseconds is None else float(str(milliseconds))

    async def _ask(self, question: dict[str, object]) -> dict[str, object]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        return await read_answer(self._process)


async def read_answer(process: asyncio.subprocess.Process) -> dict[str, object]:
    """One line of JSON."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the peer's process has ended")
    return dict(json.loads(line))


@contextlib.asynccontextmanager
async def peers(figures: Figures) -> AsyncIterator[list[System]]:
    """Those that are installed and start. Of the others the figures say why not."""
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        figures.problems.append("no other products were measured: `make bench-peers` installs them")
    running: list[tuple[str, asyncio.subprocess.Process]] = []
    started: list[System] = []
    try:
        for name in NAMES if python.exists() else ():
            process = await asyncio.create_subprocess_exec(
                str(python),
                str(_WORKER),
                name,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"},
            )
            running.append((name, process))
            try:
                async with asyncio.timeout(_START_SECONDS):
                    answer = await read_answer(process)
            except (RuntimeError, TimeoutError) as error:
                answer = {"error": str(error) or "it did not start in time"}
            if "error" in answer:
                figures.problems.append(f"{name} was not measured: {answer['error']}")
                continue
            figures.took("a new session", name, float(str(answer["milliseconds"])))
            started.append(Peer(name, process))
        yield started
    finally:
        for _, process in running:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
