"""What a machine has at all: no container can be given more."""

import os
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from codecove.sandbox.limits import Limits


@dataclass(frozen=True, slots=True)
class Capacity:
    """Of one machine, whoever uses it at the moment."""

    memory_bytes: int
    disk_bytes: int
    """Of the file system that the containers are on."""
    cpus: int
    open_files: int
    """That this process may let another one have."""


def of_machine(directory: Path) -> Capacity:
    """This machine's, with containers below `directory`, which need not exist. Raises `OSError`."""
    while not directory.exists():
        directory = directory.parent
    most_open = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Capacity(
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_bytes=shutil.disk_usage(directory).total,
        cpus=len(os.sched_getaffinity(0)),
        open_files=sys.maxsize if most_open == resource.RLIM_INFINITY else most_open,
    )


def excess(limits: Limits, capacity: Capacity) -> str:
    """What of the limits is more than the machine has, in words. Empty if nothing is."""
    wanted = (
        ("memory", limits.memory_bytes, capacity.memory_bytes, 2**30, " GiB"),
        ("disk", limits.disk_bytes, capacity.disk_bytes, 2**30, " GiB"),
        ("cpus", limits.cpus, capacity.cpus, 1, ""),
        ("open files", limits.open_files, capacity.open_files, 1, ""),
    )
    return ", ".join(
        f"{name} of {given / unit:.4g}{suffix}, and this machine has {there / unit:.4g}{suffix}"
        for name, given, there, unit, suffix in wanted
        if given > there
    )
