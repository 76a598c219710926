"""Batches in the database: what clients do with them, one transaction for each thing.

Whoever moves requests from one state to another locks the batch first and moves its counts in the same transaction:
so the counts sum to the total at every moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import CursorResult, Update, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import ids
from codecove.batches.batch import OUTCOMES, Batch
from codecove.batches.pages import Asked, Page
from codecove.errors import InvalidRequest, NotFound
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.storage import account, lock, locked_room
from codecove.store.tables import BatchRequestRow, BatchRequestState, BatchRow
from codecove.workspaces import Caller

VISIBLE = ("in_progress", "canceling", "ended")
_CANCELED = '{"type":"canceled"}'


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that was checked and is to be stored."""

    custom_id: str
    text: str


class Records:
    """The rows of batches and their requests, as the clients' side of the API sees and changes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def begin(self, row: BatchRow) -> None:
        """A batch that nobody sees yet; its requests follow."""
        async with self._database.write() as session:
            session.add(row)

    @to_the_end
    async def add(self, caller: Caller, batch_id: str, first: int, entries: Sequence[Entry], quota: int) -> None:
        """The next requests of a batch that is being created; `first` is the number of the first of them.

        `quota` is how many bytes any workspace may store. Raises `Forbidden`.
        """
        rows = [
            {
                "batch_id": batch_id,
                "number": number,
                "custom_id": entry.custom_id,
                "state": "waiting",
                "request": entry.text,
            }
            for number, entry in enumerate(entries, first)
        ]
        size = sum(len(entry.text.encode()) for entry in entries)
        async with self._database.write() as session:
            (await locked_room(session, caller, quota)).check(size, "requests")
            await account(session, caller.workspace_id, caller.key_id, size)
            await session.execute(
                update(BatchRow).where(BatchRow.id == batch_id).values(stored_bytes=BatchRow.stored_bytes + size)
            )
            await session.execute(insert(BatchRequestRow), rows)

    @to_the_end
    async def open(self, batch_id: str, total: int, created_at: datetime, expires_at: datetime) -> Batch:
        """The batch is complete: from now on it is seen, and runs."""
        async with self._database.write() as session:
            row = (await session.scalars(select(BatchRow).where(BatchRow.id == batch_id))).one()
            row.state, row.processing, row.queued = "in_progress", total, True
            row.created_at, row.expires_at = created_at, expires_at
        return Batch.of(row)

    @to_the_end
    async def abandon(self, batch_id: str, now: datetime) -> None:
        """A batch could not be created: what is stored of it goes."""
        async with self._database.write() as session:
            creating = select(BatchRow).where(BatchRow.id == batch_id, BatchRow.state == "creating")
            for row in await session.scalars(creating):
                row.state, row.ended_at = "deleted", now
                await release(session, row)

    @to_the_end
    async def get(self, caller: Caller, batch_id: str) -> Batch:
        """Raises `NotFound`."""
        async with self._database.read() as session:
            return Batch.of(await _find(session, caller, batch_id))

    @to_the_end
    async def list(self, caller: Caller, asked: Asked) -> Page:
        """Batches, newest first. Raises `InvalidRequest` for an unknown cursor."""
        query = select(BatchRow).where(BatchRow.workspace_id == caller.workspace_id, BatchRow.state.in_(VISIBLE))
        forward = asked.before_id is None
        async with self._database.read() as session:
            if asked.cursor is not None:
                position = await _position(session, caller, *asked.cursor)
                query = query.where(BatchRow.sequence < position if forward else BatchRow.sequence > position)
            query = query.order_by(BatchRow.sequence.desc() if forward else BatchRow.sequence)
            found = [Batch.of(row) for row in await session.scalars(query.limit(asked.limit + 1))]
        page = found[: asked.limit]
        return Page(page if forward else page[::-1], has_more=len(found) > asked.limit, forward=forward)

    @to_the_end
    async def cancel(self, caller: Caller, batch_id: str, now: datetime) -> tuple[Batch, int]:
        """No further request begins; those that wait are canceled: so many. Raises `NotFound`.

        A batch that has ended, or is being canceled already, stays as it is.
        """
        canceled = 0
        async with self._database.write() as session:
            row = await _find(session, caller, batch_id, lock=True)
            if row.state == "in_progress":
                row.state, row.cancel_initiated_at = "canceling", now
                canceled = await settle_waiting(session, row, "canceled", _CANCELED, now)
        return Batch.of(row), canceled

    @to_the_end
    async def delete(self, caller: Caller, batch_id: str, now: datetime) -> None:
        """Raises `NotFound`; `InvalidRequest` for one that has not ended."""
        async with self._database.write() as session:
            row = await _find(session, caller, batch_id, lock=True)
            if row.state != "ended":
                raise InvalidRequest(
                    f"Message Batch `{batch_id}` is still being processed (`{row.state}`); "
                    "cancel it, and delete it when it has ended"
                )
            row.state = "deleted"
            row.archived_at = row.archived_at or now
            await release(session, row)

    @to_the_end
    async def results(self, batch_id: str, after: int, *, limit: int, size: int) -> Sequence[tuple[int, str, str]]:
        """Number, custom id and result of the next requests of a batch that has ended.

        At most `limit`, and no more than `size` characters of results, unless the first has more.
        """
        row = BatchRequestRow
        following = row.batch_id == batch_id, row.number > after
        lengths = select(row.number, func.coalesce(func.length(row.result), 0)).where(*following)
        texts = select(row.number, row.custom_id, row.result).where(*following).order_by(row.number)
        async with self._database.read() as session:
            found = [
                (number, length) for number, length in await session.execute(lengths.order_by(row.number).limit(limit))
            ]
            if not found:
                return []
            last = _fitting([length for _, length in found], size) - 1
            page = await session.execute(texts.where(row.number <= found[last][0]))
            return [(number, custom_id, result or "null") for number, custom_id, result in page]


def _fitting(lengths: Sequence[int], size: int) -> int:
    """How many of the first are `size` long together; one at least."""
    return max(sum(total <= size for total in accumulate(lengths)), 1)


async def release(session: AsyncSession, row: BatchRow) -> None:
    """The requests of a batch are going: it counts to nobody's storage any more."""
    await lock(session, row.workspace_id)
    await account(session, row.workspace_id, row.key_id, -row.stored_bytes)
    row.stored_bytes = 0


async def settle_waiting(
    session: AsyncSession, row: BatchRow, outcome: BatchRequestState, result: str, now: datetime
) -> int:
    """Give all requests that wait the same result. `row`, which is locked, ends if that was the last."""
    moved = await changed(
        session,
        update(BatchRequestRow)
        .where(BatchRequestRow.batch_id == row.id, BatchRequestRow.state == "waiting")
        .values(state=outcome, result=result, request=None),
    )
    move(row, outcome, moved, now)
    return moved


async def changed(session: AsyncSession, statement: Update) -> int:
    """Execute it; the value is how many rows it has changed."""
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)  # noqa: S101  # what SQLAlchemy promises of an UPDATE
    return result.rowcount


def move(row: BatchRow, outcome: BatchRequestState, number: int, now: datetime) -> None:
    """Count `number` requests as done; the batch has ended when none are left."""
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    row.processing -= number
    setattr(row, outcome, getattr(row, outcome) + number)
    if row.processing == 0:
        row.state, row.ended_at = "ended", now


async def _find(session: AsyncSession, caller: Caller, batch_id: str, *, lock: bool = False) -> BatchRow:
    row = None
    if ids.is_valid("msgbatch", batch_id):
        query = select(BatchRow).where(
            BatchRow.id == batch_id, BatchRow.workspace_id == caller.workspace_id, BatchRow.state.in_(VISIBLE)
        )
        row = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if row is None:
        raise NotFound(f"Message Batch `{batch_id}` not found")
    return row


async def _position(session: AsyncSession, caller: Caller, parameter: str, batch_id: str) -> int:
    """Where in the list a batch is, or was."""
    position = None
    if ids.is_valid("msgbatch", batch_id):
        position = await session.scalar(
            select(BatchRow.sequence).where(
                BatchRow.id == batch_id,
                BatchRow.workspace_id == caller.workspace_id,
                BatchRow.state.in_((*VISIBLE, "deleted")),
            )
        )
    if position is None:
        raise InvalidRequest(f"{parameter}: there is no batch {batch_id!r}")
    return position
