"""How long the sandbox takes, against crun and against the same programs without any sandbox.

    python bench/sandbox.py [--rootfs DIRECTORY] [--requests N] [--json FILE]

The systems take turns request by request, so that what else the machine does hits all alike. "tight" is back to back,
"think" has a pause of 200 ms before each request, which is how a model uses a container.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from codecove.images.library import Library
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.settings import Settings

THINK_SECONDS = 0.2
SYSTEM_PROGRAMS = {"PATH": "/usr/bin:/bin"}
COMMANDS = {
    "bash echo hi": ["bash", "-c", "echo hi"],
    "python print(1)": ["python3", "-c", "print(1)"],
}
_names = (f"bench-{number}" for number in itertools.count())


class System(Protocol):
    """Something that runs commands."""

    name: str

    async def run(self, argv: Sequence[str]) -> None: ...


class Native:
    """The physical limit: a process of this machine."""

    name = "native"

    async def run(self, argv: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, env=SYSTEM_PROGRAMS)
        await process.communicate()


class Sandboxed:
    """An awake container of a host."""

    def __init__(self, host: LocalHost, name: str, container_id: str) -> None:
        self.host = host
        self.name = name
        self._container_id = container_id

    async def run(self, argv: Sequence[str]) -> None:
        container = await self.host.get(self._container_id)
        result = await container.run(argv, env={}, timeout=60)
        if result.return_code != 0:
            raise RuntimeError(f"{self.name}: {argv} ended with {result.return_code}")


@contextlib.asynccontextmanager
async def systems(rootfs: Path) -> AsyncIterator[tuple[list[Sandboxed], list[System]]]:
    """The hosts of all installed runtimes, each with one container, and everything that runs commands."""
    async with contextlib.AsyncExitStack() as stack:
        sandboxed = []
        for runtime in filter(shutil.which, ("runsc", "crun", "runc")):
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="cove-bench-"))
            host = await stack.enter_async_context(LocalHost(HostConfig(Path(directory), rootfs, runtime=runtime)))
            await host.create("bench")
            sandboxed.append(Sandboxed(host, runtime, "bench"))
        yield sandboxed, [*sandboxed, Native()]


async def measure(rootfs: Path, requests: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each request: what, system, values."""
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with systems(rootfs) as (sandboxed, everything):
        for (what, argv), (pace, pause) in itertools.product(
            COMMANDS.items(), (("tight", 0), ("think", THINK_SECONDS))
        ):
            for _ in range(requests):
                for system in everything:
                    await asyncio.sleep(pause)
                    began = time.perf_counter()
                    await system.run(argv)
                    taken[f"{what}, {pace}"][system.name].append((time.perf_counter() - began) * 1000)
        for _ in range(max(requests // 10, 5)):
            for system in sandboxed:
                await life(system, taken)
    return taken


async def life(system: Sandboxed, taken: dict[str, dict[str, list[float]]]) -> None:
    """One container from nothing to nothing."""
    name = next(_names)
    began = time.perf_counter()
    container = await system.host.create(name)
    await container.run(COMMANDS["bash echo hi"], env={}, timeout=60)
    ready = time.perf_counter()
    await system.host.delete(name)
    taken["create and first echo"][system.name].append((ready - began) * 1000)
    taken["delete"][system.name].append((time.perf_counter() - ready) * 1000)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, p90 and p99, in milliseconds."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"n": len(values), "median": statistics.median(values), "p90": cuts[89], "p99": cuts[98]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rootfs", type=Path, help="root file system of an image (default: the built one)")
    parser.add_argument("--requests", type=int, default=100, help="requests of each kind (default 100)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    rootfs = arguments.rootfs or Library(Settings().image_dir).resolve().rootfs
    taken = asyncio.run(measure(rootfs, arguments.requests))
    report = {what: {name: summary(values) for name, values in by.items()} for what, by in taken.items()}
    print(f"{'milliseconds':26} {'':8} {'median':>8} {'p90':>8} {'p99':>8}  of native")
    for what, by in report.items():
        native = by.get("native", {}).get("median")
        for name, figures in by.items():
            ratio = f"{figures['median'] / native:9.1f}" if native else ""
            print(f"{what:26} {name:8} {figures['median']:8.1f} {figures['p90']:8.1f} {figures['p99']:8.1f}  {ratio}")
    if arguments.json:
        machine = {"kernel": platform.release(), "python": sys.version.split()[0]}
        arguments.json.write_text(json.dumps({"machine": machine, "milliseconds": report}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
