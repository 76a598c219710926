"""The client's files in a conversation: those for the container, and those that the model itself reads."""

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from codecove.errors import InvalidRequest
from codecove.files.file import File
from codecove.files.service import Files
from codecove.messages.protocol import Block, Message
from codecove.tools.session import Upload
from codecove.workspaces import Caller

MAX_INLINE = 32 * 2**20
"""Bytes of one file that may go into a prompt: what the API takes as the body of a request."""

_MAX_NAME = 255
"""Bytes of a file's name on Linux. The Files API counts characters, which may be four bytes each."""
_MAX_SUFFIX = 64
"""Bytes of an ending that is kept when the name is cut."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A conversation without references to files."""

    messages: list[Message]
    uploads: tuple[Upload, ...]
    """What the container must have, in the order in which the conversation brings it."""


async def resolve(messages: list[Message], *, files: Files, caller: Caller) -> Resolved:
    """Replace every reference to a file: a `container_upload` by a note with the file's path, a file source by bytes.

    Raises `NotFound` for an unknown file, `InvalidRequest` for one of a kind that a prompt can't hold.
    """
    resolver = _Resolver(files, caller)
    done = [await resolver.message(index, message) for index, message in enumerate(messages)]
    return Resolved(messages=done, uploads=tuple(resolver.uploads.values()))


class _Resolver:
    def __init__(self, files: Files, caller: Caller) -> None:
        self.uploads: dict[str, Upload] = {}
        self._files = files
        self._caller = caller
        self._names: set[str] = set()

    async def message(self, index: int, message: Message) -> Message:
        content = message.get("content")
        if not isinstance(content, list):
            return message
        return {**message, "content": await self._blocks(content, f"messages.{index}.content")}

    async def _blocks(self, blocks: list[Block], path: str) -> list[Block]:
        return [await self._block(block, f"{path}.{number}") for number, block in enumerate(blocks)]

    async def _block(self, block: Block, path: str) -> Block:
        match block["type"]:
            case "container_upload":
                return await self._note(block)
            case "document" | "image":
                return await self._inline(block, path)
            case "tool_result" if isinstance(block.get("content"), list):
                return {**block, "content": await self._blocks(block["content"], f"{path}.content")}
            case _:
                return block

    async def _note(self, block: Block) -> Block:
        file = await self._files.get(self._caller, block["file_id"])
        upload = self.uploads.get(file.id)
        if upload is None:
            upload = Upload(file_id=file.id, name=self._unique(file.filename), open=self._opener(file))
            self.uploads[file.id] = upload
        text = f"[Uploaded file: $INPUT_DIR/{upload.name} ({file.mime_type}, {file.size_bytes} bytes)]"
        note: Block = {"type": "text", "text": text}
        if block.get("cache_control") is not None:
            note["cache_control"] = block["cache_control"]
        return note

    def _opener(self, file: File) -> Callable[[], AsyncIterator[bytes]]:
        return lambda: self._files.content(self._caller, file)

    def _unique(self, filename: str) -> str:
        """The name, or `name-2.ext` when another upload before it has the name; cut to what a file system takes."""
        path = PurePosixPath(filename)
        stem, suffix = (path.stem, path.suffix) if len(path.suffix.encode()) <= _MAX_SUFFIX else (filename, "")
        name, number = _fitting(stem, suffix), 1
        while name in self._names:
            number += 1
            name = _fitting(stem, f"-{number}{suffix}")
        self._names.add(name)
        return name

    async def _inline(self, block: Block, path: str) -> Block:
        source = block.get("source")
        if not isinstance(source, dict) or source.get("type") != "file":
            return block
        file = await self._files.get(self._caller, source["file_id"])
        if file.size_bytes > MAX_INLINE:
            raise InvalidRequest(
                f"{path}.source.file_id: file {file.id} has {file.size_bytes} bytes; "
                f"at most {MAX_INLINE} fit into a message. Give it to the container with `container_upload` instead"
            )
        data = b"".join([chunk async for chunk in self._files.content(self._caller, file)])
        return {**block, "source": _source(block["type"], file, data, path)}


def _fitting(stem: str, ending: str) -> str:
    return stem.encode()[: _MAX_NAME - len(ending.encode())].decode(errors="ignore") + ending


def _source(kind: str, file: File, data: bytes, path: str) -> dict[str, Any]:
    media_type = file.mime_type.partition(";")[0].strip().lower()
    if kind == "image" and media_type.startswith("image/"):
        return _base64(media_type, data)
    if kind == "document" and media_type == "application/pdf":
        return _base64(media_type, data)
    if kind == "document" and (media_type.startswith("text/") or media_type == "application/json"):
        return {"type": "text", "media_type": "text/plain", "data": data.decode("utf-8", errors="replace")}
    wanted = "an image" if kind == "image" else "a PDF or a text"
    raise InvalidRequest(
        f"{path}.source.file_id: file {file.id} is {file.mime_type}; an {kind} block takes {wanted}. "
        "Other files can be given to the container with `container_upload`"
    )


def _base64(media_type: str, data: bytes) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode("ascii")}
