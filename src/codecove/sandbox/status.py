"""From the protocol's words on a file to those of the seam."""

import stat

from codecove.sandbox.frames import Status
from codecove.sandbox.host import FileKind, FileStat


def file_stat(name: str, status: Status) -> FileStat:
    """One entry's, under the name that it has in its directory."""
    return FileStat(name, _kind(status.mode), status.size, status.mtime_ns, status.inode, status.links)


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"
