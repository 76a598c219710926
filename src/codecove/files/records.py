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
from codecove.errors import Forbidden, InvalidRequest, NotFound
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
    async def reserve(self, caller: Caller, blobs: Sequence[str], quota: int, now: datetime) -> Room:
        """Announce blobs that are about to be written. Returns what room there is for them; raises `Forbidden`."""
        async with self._database.write() as session:
            used = await session.scalar(
                select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == caller.workspace_id)
            )
            room = await room_beside(session, caller, quota, used or 0)
            room.check(1)
            session.add_all(UnownedBlobRow(key=blob, since=now, doomed=False) for blob in blobs)
            return room

    @to_the_end
    async def add(self, caller: Caller, rows: Sequence[FileRow], quota: int) -> dict[str, File | Forbidden]:
        """Files of the caller's workspace whose blobs have been written; the value has them by their ids.

        If the workspace has the content of one already, it shares that. One for which there is no room is left out.
        Raises `NotFound` if the workspace has been deleted since the request began.
        """
        async with self._database.write() as session:
            room = await locked_room(session, caller, quota)
            deleted = select(WorkspaceRow.id).where(
                WorkspaceRow.id == caller.workspace_id, WorkspaceRow.deleted_at.is_not(None)
            )
            if await session.scalar(deleted) is not None:
                raise NotFound("workspace: it was deleted meanwhile")
            stored = await _contents(session, caller, rows)
            outcomes = dict[str, File | Forbidden]()
            owned, shared, size = list[str](), list[str](), 0
            for row in rows:
                try:
                    room = room.without(row.size_bytes)
                except Forbidden as error:
                    outcomes[row.id] = error
                    continue
                written, size = row.blob, size + row.size_bytes
                row.blob = stored.setdefault((row.sha256, row.size_bytes), written)
                (owned if row.blob == written else shared).append(written)
                session.add(row)
                outcomes[row.id] = File.of(row)
            await session.execute(delete(UnownedBlobRow).where(UnownedBlobRow.key.in_(owned)))
            await _doom(session, shared)
            await account(session, caller.workspace_id, caller.key_id, size)
        return outcomes

    @to_the_end
    async def abandon(self, caller: Caller, file_ids: Sequence[str], blobs: Sequence[str], now: datetime) -> None:
        """Uploads have failed or were cancelled: the blobs are doomed, and what was added after all is gone."""
        async with self._database.write() as session:
            await lock(session, caller.workspace_id)
            rows = await session.scalars(select(FileRow).where(FileRow.id.in_(file_ids)))
            for row in rows.all():
                await _remove(session, row, now)
            await _doom(session, blobs)

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
    async def forget_blobs(self, blobs: Sequence[str]) -> None:
        """Doomed blobs have been deleted."""
        async with self._database.write() as session:
            await session.execute(delete(UnownedBlobRow).where(UnownedBlobRow.key.in_(blobs)))

    @to_the_end
    async def forget_deleted(self, before: datetime) -> None:
        """Nobody pages from files that were deleted so long ago."""
        async with self._database.write() as session:
            await session.execute(delete(DeletedFileRow).where(DeletedFileRow.deleted_at < before))


async def _contents(session: AsyncSession, caller: Caller, rows: Sequence[FileRow]) -> dict[tuple[str, int], str]:
    """The blobs of the workspace's files that have the same content as one of the rows, by its SHA-256 and size."""
    found = await session.execute(
        select(FileRow.sha256, FileRow.size_bytes, FileRow.blob).where(
            FileRow.workspace_id == caller.workspace_id, FileRow.sha256.in_({row.sha256 for row in rows})
        )
    )
    return {(sha256, size): blob for sha256, size, blob in found}


async def _doom(session: AsyncSession, blobs: Sequence[str]) -> None:
    await session.execute(update(UnownedBlobRow).where(UnownedBlobRow.key.in_(blobs)).values(doomed=True))


async def _remove(session: AsyncSession, row: FileRow, now: datetime) -> str | None:
    await session.delete(row)
    await session.flush()
    doomed = None
    if await session.scalar(_sharing(row).limit(1)) is None:
        doomed = row.blob
        session.add(UnownedBlobRow(key=doomed, since=now, doomed=True))
    session.add(DeletedFileRow(id=row.id, workspace_id=row.workspace_id, sequence=row.sequence, deleted_at=now))
    await session.flush()
    await account(session, row.workspace_id, row.key_id, -row.size_bytes)
    return doomed


def _sharing(row: FileRow) -> Select[str]:
    """The files that have the row's blob. An index leads to them by what they have in common beside it."""
    return select(FileRow.id).where(
        FileRow.workspace_id == row.workspace_id, FileRow.sha256 == row.sha256, FileRow.blob == row.blob
    )


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
