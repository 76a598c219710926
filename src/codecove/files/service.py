"""Files: their rows in the database, their bytes in the blob store."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from codecove import clock, ids
from codecove.errors import InvalidRequest, NotFound
from codecove.files.blobs import Blobs
from codecove.files.file import File, Page, check_expiry, select_files
from codecove.files.media_types import media_type
from codecove.files.names import problem_with
from codecove.files.records import Records
from codecove.files.upkeep import discard
from codecove.files.upload import Upload
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.store.tables import FileRow
from codecove.workspaces import Caller

__all__ = ["DEFAULT_QUOTA", "File", "Files", "Page"]

DEFAULT_QUOTA = 100 * 2**30


class Files:
    """The files of the workspaces. Every method sees the caller's own workspace only.

    `max_size` is of one file, `quota` of all files of a workspace together, in bytes.
    """

    def __init__(
        self,
        *,
        database: Database,
        blobs: Blobs,
        max_size: int,
        quota: int = DEFAULT_QUOTA,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._records = Records(database)
        self._blobs = blobs
        self._max_size = max_size
        self._quota = quota
        self._now = now

    async def create(
        self,
        caller: Caller,
        *,
        filename: str,
        data: AsyncIterable[bytes],
        mime_type: str | None = None,
        downloadable: bool = False,
        expires_in: Callable[[], int | None] = lambda: None,
    ) -> File:
        """Store a file, taking its bytes as they come. If that fails or is cancelled, nothing of it is left.

        `expires_in` is asked when `data` has ended: after how many seconds the file is gone; None: it stays.
        Raises `InvalidRequest` for a name or an expiry that the API does not allow, `TooLarge`, `Forbidden` if the
        workspace or the key has no room for it, and whatever `data` raises.
        """
        if (problem := problem_with(filename)) is not None:
            raise InvalidRequest(f"file: {problem}")
        file_id, blob = ids.new("file"), f"{caller.workspace_id}/{uuid.uuid4().hex}"
        try:
            room = await self._records.reserve(caller, blob, self._quota, self._now())
            upload = Upload(data, max_size=self._max_size, room=room)
            async with aclosing(upload.pieces()) as pieces:
                await self._blobs.put(blob, pieces)
            seconds, now = expires_in(), self._now()
            if seconds is not None:
                check_expiry(seconds)
            row = FileRow(
                id=file_id,
                workspace_id=caller.workspace_id,
                filename=filename,
                mime_type=media_type(mime_type, filename, upload.head),
                size_bytes=upload.size,
                sha256=upload.sha256,
                blob=blob,
                downloadable=downloadable,
                created_at=now,
                expires_at=None if seconds is None else now + timedelta(seconds=seconds),
                key_id=caller.key_id,
            )
            file = await self._records.add(caller, row, self._quota)
        except BaseException:
            await finish(self._give_up(caller, file_id, blob))
            raise
        if row.blob != blob:
            await finish(discard(self._records, self._blobs, blob))
        return file

    async def get(self, caller: Caller, file_id: str) -> File:
        """Raises `NotFound`."""
        file, _ = await self._records.get(caller, file_id, self._now())
        return file

    async def content(
        self, caller: Caller, file: File, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The file's bytes from `start` to before `end`, in pieces. Raises `NotFound` if it has been deleted."""
        end = file.size_bytes if end is None else end
        _, blob = await self._records.get(caller, file.id, self._now())
        if start >= end:
            return
        span = None if (start, end) == (0, file.size_bytes) else (start, end)
        try:
            async with aclosing(self._blobs.get(blob, span)) as pieces:
                async for piece in pieces:
                    yield piece
        except FileNotFoundError as error:
            raise NotFound(f"file: there is no file {file.id!r}") from error

    async def list(
        self,
        caller: Caller,
        *,
        limit: int | None = None,
        before_id: str | None = None,
        after_id: str | None = None,
        page: str | None = None,
        ids: Sequence[str] | None = None,
    ) -> Page:
        """Files, newest first: the first `limit` (1 to 1000, by default 20) of them, or those next to one of them.

        `after_id`: those that follow it, which are older. `before_id`: those that come just before it. `page`: the
        `next_page` of an earlier answer. The file that these name may have been deleted meanwhile. `ids`: these, at
        most 100, as far as they exist. Raises `InvalidRequest`.
        """
        selection = select_files(limit=limit, before_id=before_id, after_id=after_id, page=page, ids=ids)
        return await self._records.list(caller, selection, self._now())

    async def delete(self, caller: Caller, file_id: str) -> None:
        """Remove a file, and its bytes if no other file has the same. Raises `NotFound`."""
        doomed = await self._records.remove(caller, file_id, self._now())
        if doomed is not None:
            await finish(discard(self._records, self._blobs, doomed))

    async def _give_up(self, caller: Caller, file_id: str, blob: str) -> None:
        # The file may have been added all the same, and nobody would ever learn its id.
        await self._records.abandon(caller, file_id, blob, self._now())
        await discard(self._records, self._blobs, blob)
