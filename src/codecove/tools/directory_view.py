"""A directory as text, two levels deep."""

from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import Container, FileStat
from codecove.tools.output import printable_name

MAX_ENTRIES = 1000
_MARKS = {"directory": "/", "file": "", "symlink": "@", "other": "="}


async def list_two_levels(container: Container, path: str) -> str:
    """One path a line, `/` after a directory and `@` after a symbolic link. Raises `GuestFileError`.

    Hidden directories are named but not entered.
    """
    root = path.rstrip("/")
    lines = [f"{printable_name(root)}/"]
    entries, truncated = await _entries(container, path or "/")
    for entry in entries:
        lines.append(_line(root, entry))
        if entry.kind != "directory" or entry.name.startswith(".") or len(lines) > MAX_ENTRIES:
            continue
        inner = f"{root}/{entry.name}"
        try:
            children, cut = await _entries(container, inner)
        except GuestFileError:  # not ours to read, or gone meanwhile
            continue
        lines += [_line(inner, child) for child in children]
        truncated = truncated or cut
    if truncated or len(lines) > MAX_ENTRIES:
        lines = [*lines[:MAX_ENTRIES], "[... more entries than are shown here: use find or ls ...]"]
    return "\n".join(lines) + "\n"


async def _entries(container: Container, path: str) -> tuple[list[FileStat], bool]:
    listing = await container.list_directory(path, limit=MAX_ENTRIES)
    return sorted(listing.entries, key=lambda entry: entry.name), listing.truncated


def _line(directory: str, entry: FileStat) -> str:
    return printable_name(f"{directory}/{entry.name}").replace("\n", "\\n") + _MARKS[entry.kind]
