"""What the database knows of files and of their blobs: one function for each thing that happens to one.

Each is one transaction. Those that add or remove files of a workspace run one after the other: so that files with the
same content find each other, the workspace's sum of sizes is right, and a file that a list shows never gets an older
neighbour that was not there.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import ids
from codecove.errors import InvalidRequest, NotFound
from codecove.files.file import Cursor, File, Page, Selection
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.storage import Room, account, lock, locked_room, room_beside
from codecove.store.tables import DeletedFileRow, FileRow, UnownedBlobRow, WorkspaceRow
from codecove.workspaces import Caller

_EXPIRED_AT_ONCE = 200


class Records:
    """The rows of files, and of blobs without one. A `quota` is how many bytes any workspace may store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def reserve(self, caller: Caller, blob: str, quota: int, now: datetime) -> Room:
        """Announce a blob that is about to be written. Returns what room there is for it; raises `Forbidden`."""
        async with self._database.write() as session:
            used = await session.scalar(
                select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == caller.workspace_id)
            )
            room = await room_beside(session, caller, quota, used or 0)
            room.check(1)
            session.add(UnownedBlobRow(key=blob, since=now, doomed=False))
            return room

    @to_the_end
    async def add(self, caller: Caller, row: FileRow, quota: int) -> File:
        """A file whose blob has been written; if the workspace has the same content already, it shares that.

        Raises `Forbidden`, and `NotFound` if the workspace has been deleted since the request began.
        """
        async with self._database.write() as session:
            room = await locked_room(session, caller, quota)
            deleted = select(WorkspaceRow.id).where(
                WorkspaceRow.id == row.workspace_id, WorkspaceRow.deleted_at.is_not(None)
            )
            if await session.scalar(deleted) is not None:
                raise NotFound("workspace: it was deleted meanwhile")
            room.check(row.size_bytes)
            written = await session.get_one(UnownedBlobRow, row.blob)
            shared = await session.scalar(_same_content(row).limit(1))
            if shared is None:
                await session.delete(written)
            else:
                row.blob, written.doomed = shared, True
            session.add(row)
            await account(session, row.workspace_id, row.key_id, row.size_bytes)
        return File.of(row)

    @to_the_end
    async def abandon(self, caller: Caller, file_id: str, blob: str, now: datetime) -> None:
        """An upload has failed or was cancelled: its blob is doomed, and the file is gone if it was added after all."""
        async with self._database.write() as session:
            await lock(session, caller.workspace_id)
            row = await session.scalar(select(FileRow).where(FileRow.id == file_id))
            if row is not None:
                await _remove(session, row, now)
            await session.execute(update(UnownedBlobRow).where(UnownedBlobRow.key == blob).values(doomed=True))

    @to_the_end
    async def get(self, caller: Caller, file_id: str, now: datetime) -> tuple[File, str]:
        """A file, and its blob. Raises `NotFound`."""
        async with self._database.read() as session:
            row = await _find(session, caller, file_id, now)
            return File.of(row), row.blob

    @to_the_end
    async def remove(self, caller: Caller, file_id: str, now: datetime) -> str | None:
        """A file is gone. Its blob is doomed, and returned, if no other file has the same. Raises `NotFound`."""
        async with self._database.write() as session:
            await lock(session, caller.workspace_id)
            return await _remove(session, await _find(session, caller, file_id, now), now)

    @to_the_end
    async def list(self, caller: Caller, selection: Selection, now: datetime) -> Page:
        """Files, newest first. Raises `InvalidRequest` for an unknown cursor."""
        query = select(FileRow).where(FileRow.workspace_id == caller.workspace_id, _is_there(now))
        async with self._database.read() as session:
            if selection.before is not None:
                position = await _position(session, caller, selection.before)
                query = query.where(FileRow.sequence > position).order_by(FileRow.sequence)
            else:
                query = query.order_by(FileRow.sequence.desc())
            if selection.after is not None:
                query = query.where(FileRow.sequence < await _position(session, caller, selection.after))
            if selection.ids is not None:
                valid = [file_id for file_id in selection.ids if ids.is_valid("file", file_id)]
                query = query.where(FileRow.id.in_(valid))
            found = [File.of(row) for row in await session.scalars(query.limit(selection.limit + 1))]
        page, forward = found[: selection.limit], selection.before is None
        return Page(page if forward else page[::-1], has_more=len(found) > selection.limit, forward=forward)

    @to_the_end
    async def expire(self, now: datetime) -> int:
        """Remove the files of a workspace whose time is over: as many as fit one transaction. Returns how many."""
        due = FileRow.expires_at <= now
        async with self._database.write() as session:
            workspace_id = await session.scalar(select(FileRow.workspace_id).where(due).limit(1))
            if workspace_id is None:
                return 0
            await lock(session, workspace_id)
            rows = await session.scalars(
                select(FileRow).where(due, FileRow.workspace_id == workspace_id).limit(_EXPIRED_AT_ONCE)
            )
            expired = rows.all()
            for row in expired:
                await _remove(session, row, now)
            return len(expired)

    @to_the_end
    async def doom_unfinished(self) -> None:
        """At start: whoever was writing a blob is gone."""
        async with self._database.write() as session:
            await session.execute(update(UnownedBlobRow).values(doomed=True))

    @to_the_end
    async def doomed(self) -> Sequence[str]:
        """The blobs that are to be deleted."""
        async with self._database.read() as session:
            found = await session.scalars(select(UnownedBlobRow.key).where(UnownedBlobRow.doomed))
            return found.all()

    @to_the_end
    async def forget_blob(self, blob: str) -> None:
        """A doomed blob has been deleted."""
        async with self._database.write() as session:
            await session.execute(delete(UnownedBlobRow).where(UnownedBlobRow.key == blob))

    @to_the_end
    async def forget_deleted(self, before: datetime) -> None:
        """Nobody pages from files that were deleted so long ago."""
        async with self._database.write() as session:
            await session.execute(delete(DeletedFileRow).where(DeletedFileRow.deleted_at < before))


def _same_content(row: FileRow) -> Select[str]:
    """The blobs of the files in the row's workspace that have the same content."""
    return select(FileRow.blob).where(
        FileRow.workspace_id == row.workspace_id, FileRow.sha256 == row.sha256, FileRow.size_bytes == row.size_bytes
    )


async def _remove(session: AsyncSession, row: FileRow, now: datetime) -> str | None:
    await session.delete(row)
    await session.flush()
    doomed = None
    if await session.scalar(_same_content(row).where(FileRow.blob == row.blob).limit(1)) is None:
        doomed = row.blob
        session.add(UnownedBlobRow(key=doomed, since=now, doomed=True))
    session.add(DeletedFileRow(id=row.id, workspace_id=row.workspace_id, sequence=row.sequence, deleted_at=now))
    await session.flush()
    await account(session, row.workspace_id, row.key_id, -row.size_bytes)
    return doomed


async def _find(session: AsyncSession, caller: Caller, file_id: str, now: datetime) -> FileRow:
    row = None
    if ids.is_valid("file", file_id):
        row = await session.scalar(
            select(FileRow).where(FileRow.id == file_id, FileRow.workspace_id == caller.workspace_id, _is_there(now))
        )
    if row is None:
        raise NotFound(f"file: there is no file {file_id!r}")
    return row


def _is_there(now: datetime) -> ColumnElement[bool]:
    return or_(FileRow.expires_at.is_(None), FileRow.expires_at > now)


async def _position(session: AsyncSession, caller: Caller, cursor: Cursor) -> int:
    """Where in the list a file is, or was."""
    if ids.is_valid("file", cursor.file_id):
        for table in (FileRow, DeletedFileRow):
            position = await session.scalar(
                select(table.sequence).where(table.id == cursor.file_id, table.workspace_id == caller.workspace_id)
            )
            if position is not None:
                return position
    raise InvalidRequest(f"{cursor.parameter}: there is no file {cursor.file_id!r}")
