"""Many containers: all at work, and what one more costs when there are many already."""

import asyncio
import statistics
import time
from pathlib import Path

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.local import LocalHost
from harness.figures import Figures
from harness.systems import Stopwatch, new_name, opened, run_in
from harness.workloads import ECHO

_PROBES = 7
"""Containers whose cost is taken, at each size of the crowd."""


async def throughput(
    rootfs: Path, runtime: str, figures: Figures, *, containers: int = 60, clients: int = 8, seconds: float = 20
) -> None:
    """All awake; each client asks them in turn."""
    async with opened(rootfs, runtime, places=containers) as host:
        made = [await host.create(new_name()) for _ in range(containers)]
        done = failed = 0
        until = time.monotonic() + seconds

        async def client(first: int) -> None:
            nonlocal done, failed
            turn = first
            while time.monotonic() < until:
                watch = Stopwatch()
                try:
                    await run_in(made[turn % containers], ECHO)
                except (SandboxError, RuntimeError) as error:
                    failed += 1
                    figures.problems.append(f"{runtime}: {error}")
                else:
                    done += 1
                    figures.took(f"{containers} containers, {clients} clients, {ECHO.name}", runtime, watch.read())
                turn += 1

        await asyncio.gather(*(client(number * containers // clients) for number in range(clients)))
        what = f"{containers} containers, {clients} clients"
        figures.numbers[f"{what} (executions/s)"][runtime] = done / seconds
        figures.numbers[f"{what} (errors)"][runtime] = failed


async def growth(rootfs: Path, runtime: str, figures: Figures, *, awake: int = 60, asleep: int = 200) -> None:
    """One more container when there are 10, and when there are many: the ratio of the two."""
    async with opened(rootfs, runtime, places=awake + _PROBES) as host:
        few: dict[str, float] = {}
        for count in (10, awake):
            await _fill(host, count, sleeping=False)
            few = await _compared(host, few, figures, runtime, f"10 to {awake} awake")
    async with opened(rootfs, runtime, places=awake) as host:
        few = {}
        for count in (10, asleep):
            await _fill(host, count, sleeping=True)
            few = await _compared(host, few, figures, runtime, f"10 to {asleep} asleep")


async def _fill(host: LocalHost, count: int, *, sleeping: bool) -> None:
    while len(await host.containers()) < count:
        container = await host.create(new_name())
        if sleeping:
            await host.sleep(container.id)


async def _compared(
    host: LocalHost, few: dict[str, float], figures: Figures, runtime: str, crowd: str
) -> dict[str, float]:
    """The medians now; with those of `few`, the ratios are noted."""
    taken: dict[str, list[float]] = {name: [] for name in ("new", "echo", "sleep", "wake", "delete")}
    for _ in range(_PROBES):
        for name, milliseconds in (await _probe(host)).items():
            taken[name].append(milliseconds)
    now = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in few.items():
        figures.numbers[f"{name}, {crowd} (times as long)"][runtime] = now[name] / value
    return now


async def _probe(host: LocalHost) -> dict[str, float]:
    """One container's life, in milliseconds."""
    taken: dict[str, float] = {}
    watch = Stopwatch()
    container: LocalContainer = await host.create(new_name())
    await run_in(container, ECHO)
    taken["new"] = watch.read()
    echoes = []
    for _ in range(10):
        watch = Stopwatch()
        await run_in(container, ECHO)
        echoes.append(watch.read())
    taken["echo"] = statistics.median(echoes)
    watch = Stopwatch()
    await host.sleep(container.id)
    taken["sleep"] = watch.read()
    watch = Stopwatch()
    await run_in(container, ECHO)
    taken["wake"] = watch.read()
    watch = Stopwatch()
    await host.delete(container.id)
    taken["delete"] = watch.read()
    return taken
