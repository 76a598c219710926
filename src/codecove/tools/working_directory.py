"""What an execution has made or changed in the working directory: models that know no `$OUTPUT_DIR` save there."""

from collections.abc import Mapping
from contextlib import aclosing

from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import WORKING_DIRECTORY, Container, FileStat, Listing

MAX_ENTRIES = 2_000
"""In a fuller directory nothing is captured: telling old from new would slow down every command."""

Entries = Mapping[str, FileStat]
"""Of one directory, by name."""


def to_list() -> dict[str, int]:
    """What to list before and after an execution: how many entries of which directory. See `Container.run`."""
    return {WORKING_DIRECTORY: MAX_ENTRIES}


def entries(listings: Mapping[str, Listing]) -> Entries | None:
    """Those of the working directory; None if there are more than `MAX_ENTRIES`, or if it was not or can't be read."""
    listing = listings.get(WORKING_DIRECTORY)
    return None if listing is None or listing.truncated else {entry.name: entry for entry in listing.entries}


def made(before: Entries, after: Entries) -> list[FileStat]:
    """The regular files that are new or changed, in no order. Hidden ones are not meant for anybody.

    A file is as before if it is the same inode with the same size and time of change.
    """
    return [
        entry
        for name, entry in after.items()
        if entry.kind == "file" and not name.startswith(".") and not _is_same(before.get(name), entry)
    ]


def _is_same(one: FileStat | None, other: FileStat) -> bool:
    return one is not None and (
        (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns) and one.kind == other.kind
    )


async def is_copy(container: Container, file: FileStat, elsewhere: Mapping[str, Entries]) -> bool:
    """Whether a file of the working directory has the name and the content of one of `elsewhere`.

    `elsewhere` are the entries of other directories, by the directory's path.
    """
    for directory, entries in elsewhere.items():
        other = entries.get(file.name)
        if other is None or (other.kind, other.size) != ("file", file.size):
            continue
        if await _same_content(container, f"{WORKING_DIRECTORY}/{file.name}", f"{directory}/{file.name}"):
            return True
    return False


async def _same_content(container: Container, one: str, other: str) -> bool:
    async with (
        aclosing(container.stream_file(one, follow=False)) as first,
        aclosing(container.stream_file(other, follow=False)) as second,
    ):
        try:
            async for part in first:
                if part != await anext(second, None):
                    return False
            return await anext(second, None) is None
        except GuestFileError:
            return False
