"""`text_editor_code_execution`: view, create and str_replace, done from outside on the container's files."""

import asyncio
import base64
import errno
import os
import posixpath
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.host import WORKING_DIRECTORY, Container, FileKind
from codecove.tools.base import Operation
from codecove.tools.context import ExecutionContext
from codecove.tools.directory_view import list_two_levels
from codecove.tools.failures import ToolFailure, invalid_input
from codecove.tools.inputs import text_field
from codecove.tools.media import image_media_type, is_pdf
from codecove.tools.result_text import camel_case
from codecove.tools.text_edit import Hunk, hunk_between, replace_once
from codecove.tools.text_file import parse_text
from codecove.tools.text_view import Range, TextView, parse_range, select_lines

MAX_FILE = 10 * 2**20
"""Bytes of a file that is read as a whole."""

INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": ["view", "create", "str_replace"]},
        "path": {"type": "string"},
        "view_range": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "For view: [first, last] line; -1 as last is the end.",
        },
        "file_text": {"type": "string", "description": "For create: the content."},
        "old_str": {"type": "string", "description": "For str_replace."},
        "new_str": {"type": "string", "description": "For str_replace."},
    },
    "required": ["command", "path"],
}

_NAME = "text_editor_code_execution"
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def operation(fields: dict[str, Any]) -> Operation:
    """What the input asks for. Raises `ToolFailure`."""
    command = text_field(fields, "command")
    prepare = _COMMANDS.get(command)
    if prepare is None:
        raise invalid_input(f"`command` must be one of {', '.join(_COMMANDS)}, not {command[:100]!r}.")
    path = text_field(fields, "path")
    if not path or "\0" in path:
        raise invalid_input("`path` must name a file or directory.")
    act = prepare(fields)

    async def run(context: ExecutionContext) -> dict[str, Any]:
        resolved = resolve_path(path, context.path_variables)
        with _file_errors(resolved):
            return await act(context.container, resolved)

    return run


def resolve_path(path: str, variables: Mapping[str, str]) -> str:
    """An absolute path in the container. `$NAME`, `${NAME}` and a leading `~` are expanded as a shell does; what
    isn't a known variable stays, for `$` is also found in file names. `..` stays: what it means is up to links."""
    expanded = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), path)
    if expanded == "~" or expanded.startswith("~/"):
        expanded = variables["HOME"] + expanded[1:]
    return re.sub(r"/(?:\.?/)+", "/", posixpath.join(WORKING_DIRECTORY, expanded)).removesuffix("/.")


_Act = Callable[[Container, str], Awaitable[dict[str, Any]]]


def _view(fields: dict[str, Any]) -> _Act:
    lines = parse_range(fields.get("view_range"))

    async def act(container: Container, path: str) -> dict[str, Any]:
        stat = await container.stat(path)
        if stat.kind == "directory":
            return _text_result(select_lines(await list_two_levels(container, path), None))
        _require_file(path, stat.kind)
        data = await container.read_file(path, limit=MAX_FILE)
        return await asyncio.to_thread(_view_of, path, data, lines, len(data) < MAX_FILE or stat.size == MAX_FILE)

    return act


def _view_of(path: str, data: bytes, lines: Range | None, complete: bool) -> dict[str, Any]:
    """`complete`: `data` is the whole file."""
    kind = "image" if image_media_type(data) else "pdf" if is_pdf(data) else None
    if kind is not None:
        if not complete:
            raise _too_large(path, "make it smaller with Python, or split it.")
        return _view_result(kind, base64.b64encode(data).decode("ascii"), None, None, None)
    file = parse_text(data, complete=complete)
    if file is None:
        raise invalid_input(f"{path} is a binary file. Look at it with bash (file, xxd | head) or Python.")
    return _text_result(select_lines(file.text, lines, complete=complete))


def _create(fields: dict[str, Any]) -> _Act:
    data = text_field(fields, "file_text").encode()

    async def act(container: Container, path: str) -> dict[str, Any]:
        try:
            stat = await container.stat(path)
        except GuestFileError as error:
            if error.errno != errno.ENOENT:
                raise
            is_update = False
        else:
            _require_file(path, stat.kind)
            is_update = True
        await container.write_file(path, data)
        return {"type": f"{_NAME}_create_result", "is_file_update": is_update}

    return act


def _str_replace(fields: dict[str, Any]) -> _Act:
    old = text_field(fields, "old_str")
    new = text_field(fields, "new_str", default="")
    if not old:
        raise invalid_input("`old_str` is empty: give the text to replace, or use create to write a whole file.")

    async def act(container: Container, path: str) -> dict[str, Any]:
        stat = await container.stat(path)
        _require_file(path, stat.kind)
        if stat.size > MAX_FILE:
            raise _too_large(path, "edit it with sed or Python.")
        data = await container.read_file(path, limit=MAX_FILE)
        edited, hunk = await asyncio.to_thread(_edited, path, data, old, new)
        await container.write_file(path, edited)
        counts = _both_spellings(
            old_start=hunk.old_start, old_lines=hunk.old_lines, new_start=hunk.new_start, new_lines=hunk.new_lines
        )
        return {"type": f"{_NAME}_str_replace_result", **counts, "lines": hunk.lines}

    return act


def _edited(path: str, data: bytes, old: str, new: str) -> tuple[bytes, Hunk]:
    file = parse_text(data, complete=True)
    if file is None:
        raise invalid_input(f"{path} is a binary file: str_replace edits text only.")
    text = replace_once(path, file.text, old, new)
    return file.encode(path, text), hunk_between(file.text, text)


_COMMANDS: dict[str, Callable[[dict[str, Any]], _Act]] = {
    "view": _view,
    "create": _create,
    "str_replace": _str_replace,
}


def _text_result(view: TextView) -> dict[str, Any]:
    return _view_result("text", view.content, view.first, view.shown, view.total)


def _view_result(kind: str, content: str, first: int | None, shown: int | None, total: int | None) -> dict[str, Any]:
    counts = _both_spellings(num_lines=shown, start_line=first, total_lines=total)
    return {"type": f"{_NAME}_view_result", "file_type": kind, "content": content, **counts}


def _both_spellings(**counts: int | None) -> dict[str, int | None]:
    """As the service and its clients spell them, then as the document does."""
    return {**counts, **{camel_case(name): value for name, value in counts.items()}}


def _require_file(path: str, kind: FileKind) -> None:
    if kind == "directory":
        raise invalid_input(f"{path} is a directory, not a file.")
    if kind != "file":
        raise invalid_input(f"{path} is not a regular file.")


def _too_large(path: str, remedy: str) -> ToolFailure:
    return invalid_input(f"{path} is larger than the {MAX_FILE:,} bytes that the editor takes: {remedy}")


@contextmanager
def _file_errors(path: str) -> Iterator[None]:
    """What the container's file system refuses is the model's to mend."""
    try:
        yield
    except GuestFileError as error:
        if error.errno == errno.ENOENT:
            raise ToolFailure(
                "file_not_found", f"There is nothing at {path}. View its directory to see what there is."
            ) from error
        remedy = _REMEDIES.get(error.errno, "Use another path.")
        raise invalid_input(f"{path}: {os.strerror(error.errno)}. {remedy}") from error


_REMEDIES = {
    errno.ENOSPC: "The container's disk is full: delete files with bash.",
    errno.ENOTDIR: "A part of the path before the last is a file, not a directory.",
    errno.ENAMETOOLONG: "Use a shorter name.",
}
