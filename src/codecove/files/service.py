"""Files: their rows in the database, their bytes in the blob store."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime

from codecove import clock, ids
from codecove.errors import InvalidRequest, NotFound
from codecove.files.blobs import Blobs
from codecove.files.draft import Draft, NewFile
from codecove.files.file import File, Page, select_files
from codecove.files.names import problem_with
from codecove.files.records import Records
from codecove.files.upkeep import discard
from codecove.files.upload import Upload
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.store.tables import FileRow
from codecove.workspaces import Caller

__all__ = ["DEFAULT_QUOTA", "File", "Files", "NewFile", "Page"]

DEFAULT_QUOTA = 100 * 2**30
_AT_ONCE = 8
"""Files of one call that are written at the same time."""


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
        """Store a file; see `NewFile`. If that fails or is cancelled, nothing of it is left.

        Raises `InvalidRequest` for a name or an expiry that the API does not allow, `TooLarge`, `Forbidden` if the
        workspace or the key has no room for it, and whatever `data` raises.
        """
        (outcome,) = await self.create_all(caller, [NewFile(filename, data, mime_type, downloadable, expires_in)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def create_all(self, caller: Caller, files: Sequence[NewFile]) -> list[File | Exception]:
        """Store files, some at a time, and make those that were stored visible at once.

        The value has for each of them the file, or what `create` would raise; of that nothing is left. Raises what
        concerns all of them: `Forbidden`, `NotFound` if the workspace has been deleted since the request began. Then,
        and if this is cancelled, nothing of any is left.
        """
        drafts = [Draft(file, ids.new("file"), f"{caller.workspace_id}/{uuid.uuid4().hex}") for file in files]
        good = [draft for draft in drafts if problem_with(draft.new.filename) is None]
        try:
            outcomes = await self._store(caller, good) if good else {}
        except BaseException:
            await finish(self._give_up(caller, good))
            raise
        if failed := [draft for draft in good if isinstance(outcomes[draft.id], Exception)]:
            await finish(self._give_up(caller, failed))
        return [
            outcomes[draft.id] if draft.id in outcomes else InvalidRequest(f"file: {problem_with(draft.new.filename)}")
            for draft in drafts
        ]

    async def _store(self, caller: Caller, drafts: Sequence[Draft]) -> dict[str, File | Exception]:
        room = await self._records.reserve(caller, [draft.blob for draft in drafts], self._quota, self._now())
        turn = asyncio.Semaphore(_AT_ONCE)

        async def store(draft: Draft) -> FileRow:
            async with turn:
                upload = Upload(draft.new.data, max_size=self._max_size, room=room)
                async with aclosing(upload.pieces()) as pieces:
                    await self._blobs.put(draft.blob, pieces)
                return draft.row(upload, caller, self._now())

        stored = await asyncio.gather(*map(store, drafts), return_exceptions=True)
        rows = [row for row in stored if isinstance(row, FileRow)]
        written = {row.id: row.blob for row in rows}
        outcomes: dict[str, File | Exception] = {**await self._records.add(caller, rows, self._quota)}
        shared = [written[row.id] for row in rows if row.blob != written[row.id]]
        await finish(discard(self._records, self._blobs, shared))
        for draft, outcome in zip(drafts, stored, strict=True):
            if isinstance(outcome, Exception):
                outcomes[draft.id] = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
        return outcomes

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
            await finish(discard(self._records, self._blobs, [doomed]))

    async def _give_up(self, caller: Caller, drafts: Sequence[Draft]) -> None:
        # They may have been added all the same, and nobody would ever learn their ids.
        blobs = [draft.blob for draft in drafts]
        await self._records.abandon(caller, [draft.id for draft in drafts], blobs, self._now())
        await discard(self._records, self._blobs, blobs)
