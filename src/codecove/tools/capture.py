"""The files that an execution makes, handed to the user: those in its `$OUTPUT_DIR` and in the working directory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from codecove.errors import CodecoveError
from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import WORKING_DIRECTORY, Execution, FileStat, Listing
from codecove.together import both
from codecove.tools.context import ExecutionContext, OutputFile
from codecove.tools.output import printable_name
from codecove.tools.working_directory import MAX_ENTRIES, entries, is_copy, made, to_list

_MAX_LISTED = 10_000
_MAX_NAMED = 5
_SAVED_AT_ONCE = 100
_NOTHING = Listing((), truncated=False)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Captured:
    """What became of the files of one execution."""

    file_ids: list[str] = field(default_factory=list)
    """Those of `$OUTPUT_DIR`, then those of the working directory, each in the order of their names."""
    notes: list[str] = field(default_factory=list)
    """What was not handed out, and why."""
    only_too_large: bool = False
    """There were files in `$OUTPUT_DIR`, and every one of them was over the size limit."""


@dataclass(frozen=True, slots=True)
class _File:
    directory: str
    stat: FileStat

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.stat.name}"


def before_execution(context: ExecutionContext) -> dict[str, int]:
    """Where to look before: `capture_outputs` compares with it. See `Container.run`."""
    return to_list() if context.limits.capture_working_directory else {}


def after_execution(context: ExecutionContext) -> dict[str, int]:
    """Where to look after it."""
    return {context.output_dir: _MAX_LISTED, **before_execution(context)}


async def capture_outputs(context: ExecutionContext, execution: Execution) -> Captured:
    """Save the regular files at the top level of `$OUTPUT_DIR`, and those new or changed in the working directory.

    Symbolic links, FIFOs, devices and directories are not files of the user's: they are left alone. So are, in the
    working directory, hidden files and copies of what is in `$OUTPUT_DIR` or `$INPUT_DIR`. What is over a limit or
    refused by the storage is left out and said; the rest is still handed out.
    """
    captured = Captured()
    outputs = execution.after.get(context.output_dir, _NOTHING)
    before, after = entries(execution.before), entries(execution.after)
    in_outputs = _files(context.output_dir, outputs.entries)
    found = [*in_outputs]
    if before is not None and after is None:
        captured.notes.append(
            f"the working directory has more than {MAX_ENTRIES:,} entries now, or can't be read: no file in it was "
            "given to the user"
        )
    elif before is not None and after is not None and (changed := made(before, after)):
        found += _files(WORKING_DIRECTORY, await _originals(context, changed, outputs))
    too_large = await _save_all(context, found, captured)
    captured.only_too_large = bool(in_outputs) and set(in_outputs) <= set(too_large)
    if len(found) > context.limits.max_output_files or outputs.truncated:
        captured.notes.append(
            f"there are more than {context.limits.max_output_files:,} files: the rest was not given to the user. "
            "Put many files into one archive"
        )
    return captured


async def _listing(context: ExecutionContext, directory: str) -> Listing:
    try:
        stat, listing = await both(
            context.container.stat(directory, follow=False),
            context.container.list_directory(directory, limit=_MAX_LISTED),
        )
    except GuestFileError:  # the program removed it
        return _NOTHING
    return listing if stat.kind == "directory" else _NOTHING


def _files(directory: str, entries: Sequence[FileStat]) -> list[_File]:
    files = (entry for entry in entries if entry.kind == "file")
    return [_File(directory, entry) for entry in sorted(files, key=lambda entry: entry.name)]


async def _originals(context: ExecutionContext, files: Sequence[FileStat], outputs: Listing) -> list[FileStat]:
    """Without those that the program has copied from `$INPUT_DIR`, or also into `$OUTPUT_DIR`."""
    inputs = await _listing(context, context.input_dir)
    listings = {context.output_dir: outputs, context.input_dir: inputs}
    elsewhere = {path: {entry.name: entry for entry in listing.entries} for path, listing in listings.items()}
    return [file for file in files if not await is_copy(context.container, file, elsewhere)]


async def _save_all(context: ExecutionContext, files: Sequence[_File], captured: Captured) -> list[_File]:
    """Hand out what the limits allow; the value is what is too large."""
    limits = context.limits
    fitting, too_large, room = list[_File](), list[_File](), limits.max_output_bytes
    for file in files[: limits.max_output_files]:
        if file.stat.size > min(limits.max_file_size, room):
            too_large.append(file)
        else:
            fitting.append(file)
            room -= file.stat.size
    for first in range(0, len(fitting), _SAVED_AT_ONCE):
        await _save(context, fitting[first : first + _SAVED_AT_ONCE], captured)
    if too_large:
        captured.notes.append(
            f"not given to the user, larger than {limits.max_file_size:,} bytes (or than all files of one execution "
            f"may be, {limits.max_output_bytes:,}): {_names(too_large)}"
        )
    return too_large


async def _save(context: ExecutionContext, files: Sequence[_File], captured: Captured) -> None:
    outputs = [OutputFile(file.stat.name, context.container.stream_file(file.path, follow=False)) for file in files]
    outcomes: Sequence[str | Exception]
    try:
        outcomes = await context.save_outputs(outputs)
    except CodecoveError as error:
        outcomes = [error] * len(files)
    for (name, _), outcome in zip(outputs, outcomes, strict=True):
        if isinstance(outcome, str):
            captured.file_ids.append(outcome)
        elif isinstance(outcome, CodecoveError | GuestFileError):
            log.warning("an output file was not saved", file=name, reason=str(outcome))
            captured.notes.append(f"{printable_name(name)} was not given to the user: {printable_name(str(outcome))}")
        else:
            raise outcome


def _names(files: Sequence[_File]) -> str:
    named = ", ".join(printable_name(file.stat.name) for file in files[:_MAX_NAMED])
    more = len(files) - _MAX_NAMED
    return f"{named} and {more:,} more" if more > 0 else named
