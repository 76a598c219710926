"""The files that an execution leaves in its `$OUTPUT_DIR`, handed to the user."""

from dataclasses import dataclass, field

import structlog

from codecove.errors import CodecoveError
from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import FileStat
from codecove.tools.context import ExecutionContext
from codecove.tools.output import printable_name

_MAX_LISTED = 10_000
_MAX_NAMED = 5

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Captured:
    """What became of the files of one execution."""

    file_ids: list[str] = field(default_factory=list)
    """In the order of their names."""
    notes: list[str] = field(default_factory=list)
    """What was not handed out, and why."""
    only_too_large: bool = False
    """There were files, and every one of them was over the size limit."""


async def capture_outputs(context: ExecutionContext) -> Captured:
    """Save the regular files at the top level of `$OUTPUT_DIR`.

    Symbolic links, FIFOs, devices and directories are not files of the user's: they are left alone. What is over
    a limit or refused by the storage is left out and said; the rest is still handed out.
    """
    captured = Captured()
    container = context.container
    try:
        if (await container.stat(context.output_dir, follow=False)).kind != "directory":
            return captured
        listing = await container.list_directory(context.output_dir, limit=_MAX_LISTED)
    except GuestFileError:  # the program removed it
        return captured
    entries = sorted((entry for entry in listing.entries if entry.kind == "file"), key=lambda entry: entry.name)
    limits = context.limits
    too_large, room = [], limits.max_output_bytes
    for entry in entries[: limits.max_output_files]:
        if entry.size > min(limits.max_file_size, room):
            too_large.append(printable_name(entry.name))
            continue
        if await _save(context, entry, captured):
            room -= entry.size
    if too_large:
        captured.notes.append(
            f"not given to the user, larger than {limits.max_file_size:,} bytes (or than all files of one execution "
            f"may be, {limits.max_output_bytes:,}): {_names(too_large)}"
        )
        captured.only_too_large = len(too_large) == len(entries)
    if len(entries) > limits.max_output_files or listing.truncated:
        captured.notes.append(
            f"$OUTPUT_DIR has more than {limits.max_output_files:,} files: the rest was not given to the user. "
            "Put many files into one archive"
        )
    return captured


async def _save(context: ExecutionContext, entry: FileStat, captured: Captured) -> bool:
    path = f"{context.output_dir}/{entry.name}"
    try:
        stream = context.container.stream_file(path, follow=False)
        captured.file_ids.append(await context.save_output(entry.name, stream))
    except (CodecoveError, GuestFileError) as error:
        log.warning("an output file was not saved", file=entry.name, reason=str(error))
        captured.notes.append(f"{printable_name(entry.name)} was not given to the user: {printable_name(str(error))}")
        return False
    return True


def _names(names: list[str]) -> str:
    named = ", ".join(names[:_MAX_NAMED])
    more = len(names) - _MAX_NAMED
    return f"{named} and {more:,} more" if more > 0 else named
