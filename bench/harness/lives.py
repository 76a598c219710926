"""Containers from nothing to nothing: made, put to sleep, woken, deleted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from codecove.sandbox.warm import uses_libraries
from harness.figures import Figures
from harness.requests import PACES
from harness.systems import Sandboxed, Stopwatch, new_name, opened, run_in
from harness.workloads import ECHO, GROUP_BY, Workload

POOL = 2
REFILL_SECONDS = 2.0


async def measure(sandboxed: Sequence[Sandboxed], figures: Figures, rounds: int) -> None:
    """Each host in turn, in each round."""
    for pace, pause in PACES.items():
        for _ in range(rounds):
            for system in sandboxed:
                await asyncio.sleep(pause)
                await _created(system, figures, pace, ECHO)
            for system in sandboxed:
                await asyncio.sleep(pause)
                await _created(system, figures, pace, GROUP_BY)
            for system in sandboxed:
                await _slept(system, figures, pace, pause)


async def pooled(rootfs: Path, runtime: str, figures: Figures, rounds: int) -> None:
    """A host that always has some containers ready: each is asked for when the pool is full again."""
    async with opened(rootfs, runtime, ready=POOL) as host:
        for pace, pause in PACES.items():
            for _ in range(rounds):
                await asyncio.sleep(REFILL_SECONDS + pause)
                name = new_name()
                watch = Stopwatch()
                await run_in(await host.create(name), ECHO)
                figures.took(f"container from the pool, first {ECHO.name}, {pace}", runtime, watch.read())
                await host.delete(name)


async def _created(system: Sandboxed, figures: Figures, pace: str, workload: Workload) -> None:
    name = new_name()
    watch = Stopwatch()
    await run_in(await system.host.create(name, libraries=uses_libraries(workload.code.encode())), workload)
    figures.took(f"new container, first {workload.name}, {pace}", system.name, watch.read())
    watch = Stopwatch()
    await system.host.delete(name)
    figures.took("delete", system.name, watch.read())


async def _slept(system: Sandboxed, figures: Figures, pace: str, pause: float) -> None:
    await asyncio.sleep(pause)
    watch = Stopwatch()
    if not await system.host.sleep(system.container_id):
        figures.problems.append(f"{system.name}: a container could not be put to sleep")
        return
    figures.took("going to sleep", system.name, watch.read())
    await asyncio.sleep(pause)
    watch = Stopwatch()
    await run_in(await system.host.get(system.container_id), ECHO)
    figures.took(f"wake, first {ECHO.name}, {pace}", system.name, watch.read())
