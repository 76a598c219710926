"""What containers cost while nothing is asked of them, awake and asleep."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.lifecycle import State
from harness import processes
from harness.figures import Figures
from harness.systems import new_name, opened, run_in
from harness.workloads import ECHO

COUNT = 20
_MIB = 2**20


async def measure(rootfs: Path, runtime: str, figures: Figures, seconds: float) -> None:
    """`COUNT` containers, looked at for so many seconds awake, and then asleep."""
    before = processes.descendants(os.getpid())
    async with opened(rootfs, runtime) as host:
        containers = [await host.create(new_name()) for _ in range(COUNT)]
        for container in containers:
            await run_in(container, ECHO)
        await _frozen(containers)

        theirs = processes.descendants(os.getpid()) - before
        figures.numbers["memory of an idle container (MiB PSS)"][runtime] = processes.pss(theirs) / COUNT / _MIB
        used, own = processes.cpu_seconds(theirs), processes.cpu_seconds([os.getpid()])
        await asyncio.sleep(seconds)
        share = (processes.cpu_seconds(theirs) - used) / seconds / COUNT * 100
        figures.numbers["CPU of an idle container (% of a core)"][runtime] = share
        share = (processes.cpu_seconds([os.getpid()]) - own) / seconds / COUNT * 100
        figures.numbers["CPU of the server for an idle container (% of a core)"][runtime] = share

        for container in containers:
            await host.sleep(container.id)
        left = processes.descendants(os.getpid()) - before
        figures.numbers["processes of a sleeping container"][runtime] = len(left) / COUNT
        figures.numbers["memory of a sleeping container (MiB PSS)"][runtime] = processes.pss(left) / COUNT / _MIB
        figures.numbers["disk of a sleeping container (MiB)"][runtime] = _allocated(host.directory) / COUNT / _MIB


async def _frozen(containers: Sequence[LocalContainer]) -> None:
    async with asyncio.timeout(30):
        while any(container.state is not State.FROZEN for container in containers):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _allocated(directory: Path) -> int:
    files = (path for path in (directory / "containers").rglob("*") if path.is_file())
    return sum(path.lstat().st_blocks * 512 for path in files)
