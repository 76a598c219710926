"""A container's disk where there are no loop devices: plain directories, and an overlay of them over the image.

The same functions as in `layer.py`, and the same places in the container's directory, but `disk/` is a directory of
the host's file system. Nothing there has a limit: `disk_watch.py` sees to that.
"""

from pathlib import Path

from codecove.sandbox import commands, layer
from codecove.sandbox.disk_watch import DiskWatch
from codecove.sandbox.group import Group
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.limits import Limits

# In a user namespace the overlay keeps its own notes in attributes of the user's (Linux 5.11).
_ATTACH = """
mkdir -p root
ln -sfn "$1" image
ln -sfn "$2" guest
options=nosuid,nodev,noatime,userxattr
mount -t overlay -o $options,lowerdir=guest:image,upperdir=disk/upper,workdir=disk/work layer root
"""
_DISK = "disk"
_PARTS = ("upper", "work")


async def template(directory: Path, size: int) -> Path:
    """None is needed: whatever directory it is."""
    return directory


async def make(directory: Path, template: Path) -> None:
    """Give a container an empty disk. Raises `OSError`."""
    for part in _PARTS:
        (directory / _DISK / part).mkdir(parents=True)


def is_sound(directory: Path) -> bool:
    """Whether a container's disk is there."""
    return all((directory / _DISK / part).is_dir() for part in _PARTS)


async def attach(directory: Path, *, rootfs: Path, built: Built, shifted: bool) -> None:
    """Mount a container's disk; owners can't be `shifted`. Raises `CommandFailed`; `detach` undoes it."""
    if shifted:
        raise ValueError("owners can't be shifted in a user namespace")
    await commands.run(["sh", "-ec", _ATTACH, "sh", str(rootfs), str(built.layer)], cwd=directory)


detach = layer.detach


def watch(directory: Path, group: Group, limits: Limits) -> DiskWatch:
    """What holds it to its limits."""
    return DiskWatch(directory / _DISK, group, limits.disk_bytes, limits.disk_bytes // layer.INODE_RATIO)
