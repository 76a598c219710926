"""Disks of containers that are still there: what is left of a server, or of a host."""

import contextlib
import os
from pathlib import Path


def loop_devices(directory: Path) -> list[str]:
    """Those of files below the directory, but for those that another view of the file systems has mounted.

    Whoever makes such a view (`unshare --mount`, anywhere on the machine) gets a copy of all mounts that there are, and
    the disks stay until the view goes. No server can change that.
    """
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            found += [f"/dev/{backing.parts[3]}"] if str(directory) in backing.read_text() else []
    return [device for device in found if not _is_mounted_elsewhere(device)]


def _is_mounted_elsewhere(device: str) -> bool:
    ours = os.readlink("/proc/self/ns/mnt")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "ns/mnt") != ours and f" {device} " in (process / "mountinfo").read_text():
                return True
    return False
