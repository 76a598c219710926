"""A container's disk: an ext4 image of a fixed size on a loop device, and an overlay of it over the image.

Everything lies in the container's directory:

    disk.ext4   the image file, sparse; all that the container ever writes
    disk/       where it is mounted
    image, guest  the two read-only layers: symbolic links, or mounts with shifted owners
    root/       the overlay: the container's root file system
"""

import ctypes
import errno
import os
import shutil
import tempfile
from pathlib import Path

from codecove.sandbox import commands
from codecove.sandbox.bundle import FIRST_ID, IDS
from codecove.sandbox.disk_watch import Unwatched
from codecove.sandbox.group import Group
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.limits import Limits

INODE_RATIO = 16384
"""Bytes of disk for each inode: the limit on the number of files."""

# Paths are relative to the container's directory, so that no path of the host shows in its table of mounts.
_ATTACH = """
mkdir -p disk root
mount -t ext4 -o loop,nosuid,nodev,noatime disk.ext4 disk
if [ -z "$3" ]; then
    ln -sfn "$1" image
    ln -sfn "$2" guest
else
    mkdir -p image guest
    "$3" "$4" "$5" "$1" image "$2" guest
    chown "$4:$4" disk/upper
fi
mount -t overlay -o nosuid,nodev,noatime,lowerdir=guest:image,upperdir=disk/upper,workdir=disk/work layer root
"""
DISK = "disk.ext4"
_MAGIC, _MAGIC_AT = b"\x53\xef", 1080
"""By which ext4 is known."""
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8


async def template(directory: Path, size: int) -> Path:
    """An empty file system of `size` bytes, made once. It takes 3 MB of the host's disk."""
    file = directory / f"disk-{size}.ext4"
    if file.exists():
        return file
    with tempfile.TemporaryDirectory(dir=directory) as made:
        content, image = Path(made) / "content", Path(made) / "image"
        for name in ("upper", "work"):
            (content / name).mkdir(parents=True)
        features = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"
        options = ["-q", "-b", "4096", "-m", "0", "-i", str(INODE_RATIO), "-E", features, "-d", str(content)]
        await commands.run(["mkfs.ext4", *options, str(image), f"{size // 1024}k"])
        image.rename(file)
    return file


async def make(directory: Path, template: Path) -> None:
    """Give a container an empty disk. Raises `CommandFailed`."""
    await commands.run(["cp", "--sparse=always", str(template), str(directory / DISK)])


def is_sound(directory: Path) -> bool:
    """Whether a container's disk is there, and is a file system at all."""
    try:
        with (directory / DISK).open("rb") as disk:
            disk.seek(_MAGIC_AT)
            return disk.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


async def attach(directory: Path, *, rootfs: Path, built: Built, shifted: bool) -> None:
    """Mount a container's disk, with owners as a user namespace sees them if `shifted`.

    After a crash ext4 replays its journal here. Raises `CommandFailed`; `detach` undoes it, finished or not.
    """
    idmap = str(built.idmap) if shifted else ""
    values = [str(rootfs), str(built.layer), idmap, str(FIRST_ID), str(IDS)]
    await commands.run(["sh", "-ec", _ATTACH, "sh", *values], cwd=directory)


def detach(directory: Path) -> None:
    """Unmount all that is mounted in a container's directory. Idempotent. Raises `OSError`."""
    for name in ("root", "guest", "image", "disk"):
        _unmount(directory / name)


def watch(directory: Path, group: Group, limits: Limits) -> Unwatched:
    """Nothing: the kernel holds it to its limits."""
    return Unwatched()


def _unmount(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    raw = os.fsencode(path)
    # The loop device goes with its mount. Something may still hold it for a moment: then it goes when that does.
    while libc.umount2(raw, _UMOUNT_NOFOLLOW) == 0 or libc.umount2(raw, _UMOUNT_NOFOLLOW | _MNT_DETACH) == 0:
        continue
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):  # not a mount, or not there at all
        raise OSError(ctypes.get_errno(), f"umount {path}")


def free_bytes(directory: Path) -> int:
    """What is left on the host's disk."""
    return shutil.disk_usage(directory).free
