"""What differs between a server that is the machine's root and one that is root of a user namespace only.

The first has the kernel hold containers to their limits: control groups, disks of a fixed size. The second can't, and
sees to them itself as far as that goes: docs/decisions/sandbox-rootless.md.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codecove import privileges
from codecove.sandbox import cgroup, directory_layer, layer
from codecove.sandbox.disk_watch import Unwatched
from codecove.sandbox.group import Group, Groups
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.limits import Limits
from codecove.sandbox.process_tree import ProcessTrees


class Disks(Protocol):
    """How containers get their disks: `layer.py` or `directory_layer.py`, where the functions are described."""

    async def template(self, directory: Path, size: int) -> Path: ...
    async def make(self, directory: Path, template: Path) -> None: ...
    def is_sound(self, directory: Path) -> bool: ...
    async def attach(self, directory: Path, *, rootfs: Path, built: Built, shifted: bool) -> None: ...
    def detach(self, directory: Path) -> None: ...
    def watch(self, directory: Path, group: Group, limits: Limits) -> Unwatched: ...


@dataclass(frozen=True, slots=True)
class Means:
    """Those of one host."""

    groups: Groups
    disks: Disks
    runsc_options: Sequence[str]
    host_kernel: bool
    """Whether programs may talk to the host's kernel: not where nothing limits what they take of it."""


def of_host(directory: Path, sites: Path) -> Means:
    """What a host has that works in `directory`, with its containers' directories in `sites`."""
    if privileges.in_user_namespace():
        return Means(ProcessTrees(sites), directory_layer, ("--ignore-cgroups",), host_kernel=False)
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]
    return Means(cgroup.Cgroups(cgroup.detect(), f"/codecove-{name}"), layer, (), host_kernel=True)
