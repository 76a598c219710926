"""A container's disk: an ext4 image of a fixed size on a loop device, and an overlay of it over the image.

Everything lies in the container's directory:

    disk.ext4   the image file, sparse; all that the container ever writes
    disk/       where it is mounted
    image, guest  symbolic links to the two read-only layers
    root/       the overlay: the container's root file system
"""

import ctypes
import os
import shutil
import tempfile
from pathlib import Path

from codecove.sandbox import commands

_INODE_RATIO = 16384
"""Bytes of disk for each inode: the limit on the number of files."""

# Paths are relative to the container's directory, so that no path of the host shows in its table of mounts.
_ATTACH = """
ln -s "$2" image
ln -s "$3" guest
mkdir disk root
cp --sparse=always "$1" disk.ext4
mount -t ext4 -o loop,nosuid,nodev,noatime disk.ext4 disk
mount -t overlay -o nosuid,nodev,noatime,lowerdir=guest:image,upperdir=disk/upper,workdir=disk/work layer root
"""
_MNT_DETACH = 2


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
        options = ["-q", "-b", "4096", "-m", "0", "-i", str(_INODE_RATIO), "-E", features, "-d", str(content)]
        await commands.run(["mkfs.ext4", *options, str(image), f"{size // 1024}k"])
        image.rename(file)
    return file


async def attach(directory: Path, *, template: Path, rootfs: Path, guest: Path) -> None:
    """Make and mount a container's disk. Raises `CommandFailed`; `detach` undoes it, finished or not."""
    await commands.run(["sh", "-ec", _ATTACH, "sh", str(template), str(rootfs), str(guest)], cwd=directory)


def detach(directory: Path) -> None:
    """Unmount and delete all of a container's directory. Idempotent."""
    for name in ("root", "disk"):
        _unmount(directory / name)
    shutil.rmtree(directory, ignore_errors=True)


def _unmount(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    raw = os.fsencode(path)
    # The loop device goes with its mount. Something may still hold it for a moment: then it goes when that does.
    while os.path.ismount(path):
        if libc.umount2(raw, 0) != 0 and libc.umount2(raw, _MNT_DETACH) != 0:
            raise OSError(ctypes.get_errno(), f"umount {path}")


def free_bytes(directory: Path) -> int:
    """What is left on the host's disk."""
    return shutil.disk_usage(directory).free
