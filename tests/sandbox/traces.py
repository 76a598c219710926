"""What containers leave on the machine. Tests run one after the other: what earlier ones had still open may close
meanwhile, and the kernel lets go of disks when it likes. So a leak is what has grown.
"""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

from codecove.sandbox.local import LocalHost
from tests.support.disks import loop_devices

Traces = dict[str, int]
"""How many there are of each kind of thing."""


def traces(host: LocalHost) -> Traces:
    """What there is now of this host, and of this process."""

    def is_child(status: str) -> bool:
        return f"\nPPid:\t{os.getpid()}\n" in status

    statuses = []
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            statuses.append(path.read_text(errors="replace"))
    directory = host.directory
    return {
        "children": sum(is_child(status) for status in statuses),
        "zombies": sum(is_child(status) and "State:\tZ" in status for status in statuses),
        "mounts": mounts(host),
        "loop devices": len(loop_devices(directory)),
        "control groups": len(host.control_groups()),
        "file descriptors": len(os.listdir("/proc/self/fd")),
        "threads": sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
        "tasks": len(asyncio.all_tasks()),
        "directories": len(list(directory.glob("*/*"))),
    }


def mounts(host: LocalHost) -> int:
    return Path("/proc/self/mounts").read_text().count(str(host.directory))


async def calm(host: LocalHost) -> Traces:
    """The traces once they stay."""
    while True:
        before = traces(host)
        await asyncio.sleep(0.3)
        if traces(host) == before:
            return before


async def grown(host: LocalHost, before: Traces, **allowed: int) -> Traces:
    """By how much there is more than before and is `allowed`, given a moment for what ends by itself."""
    for _ in range(200):
        now = traces(host)
        more = {what: now[what] - number - allowed.get(what, 0) for what, number in before.items()}
        grown = {what: number for what, number in more.items() if number > 0}
        if not grown:
            break
        await asyncio.sleep(0.05)
    return grown
