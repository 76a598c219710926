"""Batches in the database: how their requests get on, one transaction for each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from codecove.batches.records import VISIBLE, changed, move, release, settle_waiting
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.quotas import container_limits_of, quotas_of
from codecove.store.tables import BatchRequestRow, BatchRequestState, BatchRow, KeyRow, WorkspaceRow
from codecove.workspaces import Caller

_UNFINISHED = ("in_progress", "canceling")
_ORDER = (BatchRow.workspace_id, BatchRow.id)
"""In which all lock several, so that none waits for another that waits for it; workspaces are locked in it too."""
_EXPIRED = '{"type":"expired"}'
_CANCELED = '{"type":"canceled"}'
_REMOVED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """One request that is to run."""

    text: str
    """The JSON of its entry in the batch."""
    caller: Caller
    api_version: str
    betas: tuple[str, ...]
    key_revoked: bool
    """Or its workspace is deleted: it is not to run."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much there is to do, in all workspaces."""

    waiting: int
    running: int
    oldest: datetime | None
    """When the oldest batch that has requests waiting was created."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """What became of unfinished batches at a start."""

    going_on: Sequence[tuple[str, int, str]]
    """Id, size and workspace of those that go on."""
    canceled: int
    """Requests that had begun in batches which are being canceled."""


class Progress:
    """The rows of batches and their requests, as those who run them see and change them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def reopen(self, now: datetime) -> Reopened:
        """At start: nobody runs what was running.

        What was being created goes; of a batch that is being canceled, what had begun is canceled too.
        """
        async with self._database.write() as session:
            for row in await session.scalars(select(BatchRow).where(BatchRow.state == "creating")):
                row.state, row.ended_at = "deleted", now
                await release(session, row)
            await session.execute(
                update(BatchRequestRow).where(BatchRequestRow.state == "running").values(state="waiting")
            )
            rows = await session.scalars(
                select(BatchRow).where(BatchRow.state.in_(_UNFINISHED)).order_by(BatchRow.sequence)
            )
            going_on, canceled = [], 0
            for row in rows.all():
                if row.state == "canceling":
                    canceled += await settle_waiting(session, row, "canceled", _CANCELED, now)
                else:
                    size = row.processing + row.succeeded + row.errored + row.canceled + row.expired
                    going_on.append((row.id, size, row.workspace_id))
            return Reopened(going_on, canceled)

    @to_the_end
    async def waiting(self, batch_id: str, first: int, end: int) -> tuple[Caller, Sequence[int]] | None:
        """Who runs a batch, and which of its requests from `first` to before `end` wait. None if there is none."""
        async with self._database.read() as session:
            found = await _with_owner(session, batch_id)
            if found is None:
                return None
            numbers = await session.scalars(
                select(BatchRequestRow.number)
                .where(
                    BatchRequestRow.batch_id == batch_id,
                    BatchRequestRow.number >= first,
                    BatchRequestRow.number < end,
                    BatchRequestRow.state == "waiting",
                )
                .order_by(BatchRequestRow.number)
            )
            return _caller(*found), numbers.all()

    @to_the_end
    async def begin(self, batch_id: str, number: int, now: datetime) -> Work | None:
        """A request runs from now on. None if it no longer waits: it has a result, or the batch is gone."""
        async with self._database.write() as session:
            found = await _with_owner(session, batch_id)
            if found is None or found[0].expires_at <= now:
                return None
            batch, key, workspace = found
            text = await session.scalar(
                update(BatchRequestRow)
                .where(
                    BatchRequestRow.batch_id == batch_id,
                    BatchRequestRow.number == number,
                    BatchRequestRow.state == "waiting",
                )
                .values(state="running")
                .returning(BatchRequestRow.request)
            )
            if text is None:
                return None
            betas = tuple(name for name in batch.betas.split(",") if name)
            # A deleted workspace has revoked its own keys, but an admin's is of another one.
            revoked = key.revoked_at is not None or workspace.deleted_at is not None
            return Work(text, _caller(*found), batch.api_version, betas, key_revoked=revoked)

    @to_the_end
    async def finish(self, batch_id: str, number: int, outcome: BatchRequestState, result: str, now: datetime) -> bool:
        """A request that ran has a result: the first one stays. Returns whether it was this one."""
        async with self._database.write() as session:
            row = await _locked(session, batch_id)
            done = await changed(
                session,
                update(BatchRequestRow)
                .where(
                    BatchRequestRow.batch_id == batch_id,
                    BatchRequestRow.number == number,
                    BatchRequestRow.state == "running",
                )
                .values(state=outcome, result=result, request=None),
            )
            if row is None or done != 1:
                return False
            move(row, outcome, 1, now)
            return True

    @to_the_end
    async def expire(self, now: datetime) -> int:
        """The time of some batch is over: what waits expires. Returns how many requests did; 0: none are due."""
        async with self._database.write() as session:
            due = await session.scalars(
                select(BatchRow)
                .where(BatchRow.state.in_(_UNFINISHED), BatchRow.expires_at <= now)
                .order_by(*_ORDER)
                .with_for_update(key_share=True)
            )
            return sum([await settle_waiting(session, row, "expired", _EXPIRED, now) for row in due.all()])

    @to_the_end
    async def archive(self, created_before: datetime, now: datetime) -> Sequence[str]:
        """Results that have been kept long enough are no longer available. Returns the batches."""
        async with self._database.write() as session:
            due = await session.scalars(
                select(BatchRow)
                .where(BatchRow.state == "ended", BatchRow.archived_at.is_(None), BatchRow.created_at < created_before)
                .order_by(*_ORDER)
                .with_for_update(key_share=True)
            )
            rows = due.all()
            for row in rows:
                row.archived_at = now
                await release(session, row)
            return [row.id for row in rows]

    @to_the_end
    async def orphans(self, now: datetime) -> Sequence[str]:
        """What waits of batches whose workspaces were deleted is canceled; those that have ended go. Returns these."""
        gone = []
        async with self._database.write() as session:
            found = await session.scalars(
                select(BatchRow)
                .join(WorkspaceRow, WorkspaceRow.id == BatchRow.workspace_id)
                .where(WorkspaceRow.deleted_at.is_not(None), BatchRow.state.in_(VISIBLE))
                .order_by(*_ORDER)
                .with_for_update(key_share=True, of=BatchRow)
            )
            for row in found.all():
                if row.state == "in_progress":
                    row.state, row.cancel_initiated_at = "canceling", now
                    await settle_waiting(session, row, "canceled", _CANCELED, now)
                if row.state == "ended":
                    row.state, row.archived_at = "deleted", row.archived_at or now
                    await release(session, row)
                    gone.append(row.id)
        return gone

    @to_the_end
    async def remove_requests(self) -> int:
        """Remove requests of batches that are archived, deleted or failed to be created: some. Returns how many."""
        gone = select(BatchRow.id).where((BatchRow.state == "deleted") | BatchRow.archived_at.is_not(None))
        some = (
            select(BatchRequestRow.batch_id, BatchRequestRow.number)
            .where(BatchRequestRow.batch_id.in_(gone))
            .limit(_REMOVED_AT_ONCE)
        )
        async with self._database.write() as session:
            found = (await session.execute(some)).all()
            for batch_id in {batch_id for batch_id, _ in found}:
                numbers = [number for other, number in found if other == batch_id]
                await session.execute(
                    delete(BatchRequestRow).where(
                        BatchRequestRow.batch_id == batch_id, BatchRequestRow.number.in_(numbers)
                    )
                )
            return len(found)

    @to_the_end
    async def forget_deleted(self, before: datetime) -> None:
        """Nobody pages from batches that were deleted so long ago."""
        async with self._database.write() as session:
            await session.execute(
                delete(BatchRow).where(
                    BatchRow.state == "deleted",
                    func.coalesce(BatchRow.archived_at, BatchRow.ended_at) < before,
                    ~BatchRow.queued,
                    ~select(BatchRequestRow.number).where(BatchRequestRow.batch_id == BatchRow.id).exists(),
                )
            )

    @to_the_end
    async def queued(self, ended_before: datetime) -> Mapping[str, int]:
        """Batches that are over since then, of which the durable queue still has what it did; with their sizes."""
        total = BatchRow.processing + BatchRow.succeeded + BatchRow.errored + BatchRow.canceled + BatchRow.expired
        async with self._database.read() as session:
            found = await session.execute(
                select(BatchRow.id, total.label("size")).where(BatchRow.queued, BatchRow.ended_at < ended_before)
            )
            return {row.id: row.size for row in found}

    @to_the_end
    async def not_queued(self, batch_ids: Sequence[str]) -> None:
        """The durable queue has nothing of these any more."""
        async with self._database.write() as session:
            await session.execute(update(BatchRow).where(BatchRow.id.in_(batch_ids)).values(queued=False))

    @to_the_end
    async def backlog(self) -> Backlog:
        """What is to be done now."""
        async with self._database.read() as session:
            counts = await session.execute(
                select(BatchRequestRow.state, func.count(), func.min(BatchRow.created_at))
                .join(BatchRow, BatchRow.id == BatchRequestRow.batch_id)
                .where(BatchRequestRow.state.in_(("waiting", "running")), BatchRow.state.in_(_UNFINISHED))
                .group_by(BatchRequestRow.state)
            )
            found = {state: (count, oldest) for state, count, oldest in counts}
        waiting, oldest = found.get("waiting", (0, None))
        return Backlog(waiting=waiting, running=found.get("running", (0, None))[0], oldest=oldest)


async def _locked(session: AsyncSession, batch_id: str) -> BatchRow | None:
    return (
        await session.scalars(select(BatchRow).where(BatchRow.id == batch_id).with_for_update(key_share=True))
    ).one_or_none()


async def _with_owner(session: AsyncSession, batch_id: str) -> tuple[BatchRow, KeyRow, WorkspaceRow] | None:
    found = (
        await session.execute(
            select(BatchRow, KeyRow, WorkspaceRow)
            .join(KeyRow, KeyRow.id == BatchRow.key_id)
            .join(WorkspaceRow, WorkspaceRow.id == BatchRow.workspace_id)
            .where(BatchRow.id == batch_id, BatchRow.state.in_(_UNFINISHED))
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1], found[2])


def _caller(batch: BatchRow, key: KeyRow, workspace: WorkspaceRow) -> Caller:
    return Caller(
        workspace_id=batch.workspace_id,
        key_id=key.id,
        role=key.role,
        quotas=quotas_of(workspace),
        key_quotas=quotas_of(key),
        container_limits=container_limits_of(workspace),
        request_id=batch.id,
    )
