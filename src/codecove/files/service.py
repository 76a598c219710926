"""Files: their rows in the database, their bytes in the blob store."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import clock, ids
from codecove.errors import InvalidRequest, NotFound, TooLarge
from codecove.files.blobs import Blobs
from codecove.files.media_types import SNIFFED_BYTES, media_type
from codecove.files.names import problem_with
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import FileRow
from codecove.workspaces import Caller

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class File:
    """What is known of a file, beside its bytes."""

    id: str
    filename: str
    mime_type: str
    size_bytes: int
    created_at: datetime
    downloadable: bool

    def to_wire(self) -> dict[str, Any]:
        """The file object of the API."""
        return {
            "type": "file",
            "id": self.id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "created_at": clock.isoformat(self.created_at),
            "downloadable": self.downloadable,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the list of files, newest first."""

    data: list[File]
    has_more: bool
    """There are more in the direction of the list that was asked for."""

    def to_wire(self) -> dict[str, Any]:
        """The list object of the API."""
        return {
            "data": [file.to_wire() for file in self.data],
            "has_more": self.has_more,
            "first_id": self.data[0].id if self.data else None,
            "last_id": self.data[-1].id if self.data else None,
        }


class Files:
    """The files of the workspaces. Every method sees the caller's own workspace only.

    `max_size` is in bytes.
    """

    def __init__(self, *, database: Database, blobs: Blobs, max_size: int) -> None:
        self._database = database
        self._blobs = blobs
        self._max_size = max_size

    async def create(
        self,
        caller: Caller,
        *,
        filename: str,
        data: AsyncIterable[bytes],
        mime_type: str | None = None,
        downloadable: bool = False,
    ) -> File:
        """Store a file, taking its bytes as they come. If that fails or is cancelled, nothing of it is left.

        Raises `InvalidRequest` for a name that the API does not allow, `TooLarge`, and whatever `data` raises.
        """
        if (problem := problem_with(filename)) is not None:
            raise InvalidRequest(f"file: {problem}")
        blob = f"{caller.workspace_id}/{uuid.uuid4().hex}"
        upload = _Upload(data, self._max_size)
        async with aclosing(upload.pieces()) as pieces:
            await self._blobs.put(blob, pieces)
        row = FileRow(
            id=ids.new("file"),
            workspace_id=caller.workspace_id,
            filename=filename,
            mime_type=media_type(mime_type, filename, upload.head),
            size_bytes=upload.size,
            sha256=upload.sha256,
            blob=blob,
            downloadable=downloadable,
            created_at=clock.now(),
        )
        try:
            await self._add(row)
        except asyncio.CancelledError:
            # It may have been added all the same, and nobody would ever learn its id.
            with suppress(NotFound):
                await self.delete(caller, row.id)
            raise
        return _file(row)

    @to_the_end
    async def get(self, caller: Caller, file_id: str) -> File:
        """Raises `NotFound`."""
        async with self._database.read() as session:
            return _file(await _find(session, caller, file_id))

    async def content(self, caller: Caller, file: File) -> AsyncGenerator[bytes, None]:
        """The file's bytes, in pieces. Raises `NotFound` before the first if it has been deleted."""
        blob = await self._blob_of(caller, file)
        try:
            async with aclosing(self._blobs.get(blob)) as pieces:
                async for piece in pieces:
                    yield piece
        except FileNotFoundError as error:
            raise _not_found(file.id) from error

    @to_the_end
    async def list(
        self,
        caller: Caller,
        *,
        limit: int = DEFAULT_LIMIT,
        before_id: str | None = None,
        after_id: str | None = None,
    ) -> Page:
        """Files, newest first: the first `limit` (1 to 1000) of them, or those next to one of them in the list.

        `after_id`: those that follow it, which are older. `before_id`: those that come just before it.
        Raises `InvalidRequest`.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}, not {limit}")
        if before_id is not None and after_id is not None:
            raise InvalidRequest("before_id: may not be given together with after_id")
        query = select(FileRow).where(FileRow.workspace_id == caller.workspace_id).limit(limit + 1)
        async with self._database.read() as session:
            if before_id is not None:
                cursor = await _cursor(session, caller, "before_id", before_id)
                query = query.where(FileRow.sequence > cursor).order_by(FileRow.sequence)
            else:
                if after_id is not None:
                    query = query.where(FileRow.sequence < await _cursor(session, caller, "after_id", after_id))
                query = query.order_by(FileRow.sequence.desc())
            found = [_file(row) for row in await session.scalars(query)]
        page = found[:limit]
        return Page(data=page if before_id is None else page[::-1], has_more=len(found) > limit)

    @to_the_end
    async def delete(self, caller: Caller, file_id: str) -> None:
        """Remove a file, and its bytes if no other file has the same. Raises `NotFound`."""
        async with self._database.write() as session:
            row = await _find(session, caller, file_id)
            await session.delete(row)
            await session.flush()
            shared = await _blob_with(session, row)
        if shared is None:
            await self._blobs.delete(row.blob)

    @to_the_end
    async def _blob_of(self, caller: Caller, file: File) -> str:
        async with self._database.read() as session:
            return (await _find(session, caller, file.id)).blob

    @to_the_end
    async def _add(self, row: FileRow) -> None:
        """Add a row whose blob has been written; if the workspace has the same content already, share that."""
        written = row.blob
        try:
            async with self._database.write() as session:
                row.blob = await _blob_with(session, row) or written
                session.add(row)
        except BaseException:
            await self._blobs.delete(written)
            raise
        if row.blob != written:
            await self._blobs.delete(written)


class _Upload:
    """Bytes on their way to the blob store: measured, hashed and held to the limit as they pass."""

    def __init__(self, data: AsyncIterable[bytes], max_size: int) -> None:
        self.size = 0
        self.head = b""
        self._data = data
        self._max_size = max_size
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._data:
            self.size += len(piece)
            if self.size > self._max_size:
                raise TooLarge(f"file: larger than the limit of {self._max_size} bytes")
            if len(self.head) < SNIFFED_BYTES:
                self.head += piece[: SNIFFED_BYTES - len(self.head)]
            self._hash.update(piece)
            yield piece


async def _find(session: AsyncSession, caller: Caller, file_id: str) -> FileRow:
    row = None
    if ids.is_valid("file", file_id):
        row = await session.scalar(
            select(FileRow).where(FileRow.id == file_id, FileRow.workspace_id == caller.workspace_id)
        )
    if row is None:
        raise _not_found(file_id)
    return row


def _not_found(file_id: str) -> NotFound:
    return NotFound(f"file: there is no file {file_id!r}")


async def _cursor(session: AsyncSession, caller: Caller, parameter: str, file_id: str) -> int:
    try:
        return (await _find(session, caller, file_id)).sequence
    except NotFound as error:
        raise InvalidRequest(f"{parameter}: there is no file {file_id!r}") from error


async def _blob_with(session: AsyncSession, row: FileRow) -> str | None:
    """The blob of another file in the row's workspace that has the same content."""
    same = (
        select(FileRow.blob)
        .where(
            FileRow.workspace_id == row.workspace_id,
            FileRow.sha256 == row.sha256,
            FileRow.size_bytes == row.size_bytes,
        )
        .limit(1)
        .with_for_update()
    )
    return await session.scalar(same)


def _file(row: FileRow) -> File:
    return File(
        id=row.id,
        filename=row.filename,
        mime_type=row.mime_type,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        downloadable=row.downloadable,
    )
