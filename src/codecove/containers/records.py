"""What the database knows of containers: one function for each thing that happens to one.

Each is one transaction. A change of state and the reason for it are written together.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import ids
from codecove.containers.changes import add_call
from codecove.containers.policy import Expiry, Times, due
from codecove.store.audit import note
from codecove.store.database import Change, Database
from codecove.store.finish import to_the_end
from codecove.store.prepared import Prepared, Transaction
from codecove.store.tables import (
    CallRow,
    ContainerEventRow,
    ContainerFileRow,
    ContainerRow,
    ContainerState,
    WorkspaceRow,
)
from codecove.workspaces import Caller


@dataclass(frozen=True, slots=True)
class Taken:
    """A container as it was when a request took it."""

    state: ContainerState
    times: Times
    loaded_files: frozenset[str]
    expired_now: bool = False
    """It had been due, and taking it found that out: it is still to be deleted on the host."""


Running = dict[str, Times]
"""Containers that are running, by their ids."""

_LOOK = Prepared(
    select(ContainerRow.state, ContainerRow.created_at, ContainerRow.last_active_at, ContainerRow.gives_way).where(
        ContainerRow.id == bindparam("container"),
        ContainerRow.workspace_id == bindparam("workspace"),
        ContainerRow.state != "deleted",
    )
)
_LOADED = Prepared(select(ContainerFileRow.file_id).where(ContainerFileRow.container_id == bindparam("container")))
_STAY = Prepared(update(ContainerRow).where(ContainerRow.id == bindparam("container")))


class Records:
    """The rows of containers, and of what belongs to them."""

    def __init__(self, database: Database, expiry: Expiry) -> None:
        self._database = database
        self.expiry = expiry

    @to_the_end
    async def add(
        self, caller: Caller, container_id: str, reason: str, now: datetime, *, gives_way: bool = False
    ) -> None:
        """A new container, running."""
        async with self._database.write() as session:
            session.add(
                ContainerRow(
                    id=container_id,
                    workspace_id=caller.workspace_id,
                    key_id=caller.key_id,
                    state="running",
                    created_at=now,
                    last_active_at=now,
                    gives_way=gives_way,
                )
            )
            await session.flush()
            session.add(_event(container_id, now, "running", reason))

    async def take(self, caller: Caller, container_id: str, now: datetime, leased: Mapping[str, int]) -> Taken | None:
        """Use a container. One that is due, and that nobody but this request has in `leased`, expires instead.

        None if the caller's workspace has no such container.
        """
        if not ids.is_valid("container", container_id):
            return None
        asked = {"container": container_id}

        def look(transaction: Transaction) -> tuple[Sequence[Any], frozenset[str]]:
            rows = transaction.run(_LOOK, asked | {"workspace": caller.workspace_id})
            return rows, frozenset(file_id for (file_id,) in transaction.run(_LOADED, asked))

        # What a use writes is written with what it does, and when it ends.
        rows, loaded = await self._database.read_at_once(look)
        if not rows:
            return None
        ((state, created_at, last_active_at, gives_way),) = rows
        times = Times(created_at, last_active_at)
        if state != "running":
            return Taken(state, times, loaded)
        if leased[container_id] == 1 and self.expiry.is_due(times, now):
            await self.end([container_id], "expired", self.expiry.reason(times), now)
            return Taken("expired", times, loaded, expired_now=True)
        if gives_way:
            await self.write(lambda transaction: transaction.run(_STAY, asked | {"gives_way": False}))
        return Taken("running", replace(times, last_active_at=now), loaded)

    async def write(self, *changes: Change) -> None:
        """Write changes of `changes.py` and the like, in one transaction."""
        await self._database.write_at_once(*changes)

    @to_the_end
    async def end(self, container_ids: Iterable[str], state: ContainerState, reason: str, now: datetime) -> None:
        """Those of the containers that are running come to an end, in `state`, for `reason`."""
        async with self._database.write() as session:
            # In one order, so that two transactions never wait for each other.
            for container_id in sorted(container_ids):
                await _end(session, container_id, state, reason, now)

    @to_the_end
    async def give_way(self, owner: str, spared: Collection[str], now: datetime) -> str | None:
        """End the container of a batch that has been idle longest, of a workspace or a key. None: there is none.

        Those in `spared` are in use.
        """
        candidates = (
            select(ContainerRow.id)
            .where(
                or_(ContainerRow.workspace_id == owner, ContainerRow.key_id == owner),
                ContainerRow.state == "running",
                ContainerRow.gives_way,
            )
            .order_by(ContainerRow.last_active_at)
        )
        async with self._database.write() as session:
            for container_id in await session.scalars(candidates):
                if container_id not in spared:
                    await _end(session, container_id, "expired", "it gave way to another one of its workspace", now)
                    return container_id
        return None

    @to_the_end
    async def expire_due(self, leased: Collection[str], now: datetime) -> list[str]:
        """Expire what is due, and what belongs to a workspace that was deleted; returns the ids."""
        async with self._database.write() as session:
            found = await session.execute(
                select(ContainerRow, WorkspaceRow.deleted_at)
                .join(WorkspaceRow, WorkspaceRow.id == ContainerRow.workspace_id)
                .where(ContainerRow.state == "running")
                .order_by(ContainerRow.id)
                .with_for_update(key_share=True, of=ContainerRow)
            )
            rows = found.all()
            # `leased` is read inside the transaction: a request writes before it lets go of a container, so one
            # that is no longer in `leased` has its last activity in the rows just read.
            running = {row.id: _times(row) for row, _ in rows}
            expired = due(running.items(), leased=leased, expiry=self.expiry, now=now)
            reasons = {container_id: self.expiry.reason(running[container_id]) for container_id in expired}
            orphans = [row.id for row, deleted_at in rows if deleted_at is not None and row.id not in leased]
            reasons |= dict.fromkeys(orphans, "its workspace was deleted")
            for container_id in sorted(reasons):
                await _end(session, container_id, "expired", reasons[container_id], now)
            return list(reasons)

    @to_the_end
    async def delete(self, caller: Caller, container_id: str, reason: str, now: datetime) -> bool:
        """It is gone for the workspace, whatever state it was in. False if the workspace has none such."""
        if not ids.is_valid("container", container_id):
            return False
        async with self._database.write() as session:
            row = await _owned(session, caller, container_id)
            if row is None:
                return False
            row.state, row.ended_at = "deleted", row.ended_at or now
            session.add(_event(container_id, now, "deleted", reason))
            note(session, "container.delete", container_id, workspace_id=row.workspace_id, caller=caller)
            return True

    @to_the_end
    async def running_of(self, owner: str) -> Running:
        """The containers that are running of a workspace, or that were made with a key, by its id."""
        async with self._database.read() as session:
            rows = await session.scalars(
                select(ContainerRow).where(
                    or_(ContainerRow.workspace_id == owner, ContainerRow.key_id == owner),
                    ContainerRow.state == "running",
                )
            )
            return {row.id: _times(row) for row in rows}

    @to_the_end
    async def running(self) -> list[str]:
        """The containers that are running, of all workspaces."""
        async with self._database.read() as session:
            return list(await session.scalars(select(ContainerRow.id).where(ContainerRow.state == "running")))

    @to_the_end
    async def ending(self, container_id: str) -> tuple[ContainerState, str]:
        """The state that a container is in, and why."""
        async with self._database.read() as session:
            newest = (
                select(ContainerRow.state, ContainerEventRow.reason)
                .join(ContainerEventRow, ContainerEventRow.container_id == ContainerRow.id)
                .where(ContainerRow.id == container_id)
                .order_by(ContainerEventRow.sequence.desc())
                .limit(1)
            )
            state, reason = (await session.execute(newest)).one()
            return state, reason

    @to_the_end
    async def add_files(self, container_id: str, file_ids: Iterable[str]) -> None:
        """These files are in the container now; some may have been before."""
        async with self._database.write() as session:
            await _lock(session, container_id)
            for file_id in file_ids:
                await session.merge(ContainerFileRow(container_id=container_id, file_id=file_id))

    async def add_call(self, container_id: str, call_id: str) -> None:
        """A call that is to run in the container later; it may have been named before."""
        await self._database.write_at_once(add_call(call_id, container_id))

    @to_the_end
    async def find_by_call(self, caller: Caller, call_id: str) -> str | None:
        """The container of the caller's workspace that a call ran in, or is to run in."""
        if not ids.is_valid("srvtoolu", call_id):
            return None
        async with self._database.read() as session:
            return await session.scalar(
                select(CallRow.container_id)
                .join(ContainerRow, ContainerRow.id == CallRow.container_id)
                .where(CallRow.call_id == call_id, ContainerRow.workspace_id == caller.workspace_id)
            )


async def _owned(session: AsyncSession, caller: Caller, container_id: str) -> ContainerRow | None:
    """The row of a container that the caller's workspace has and has not deleted, locked for this transaction."""
    row: ContainerRow | None = await session.scalar(
        select(ContainerRow)
        .where(ContainerRow.id == container_id, ContainerRow.workspace_id == caller.workspace_id)
        .with_for_update(key_share=True)
    )
    return None if row is None or row.state == "deleted" else row


async def _lock(session: AsyncSession, container_id: str) -> None:
    """Others who would write what belongs to this container wait until this transaction ends."""
    await session.execute(
        select(ContainerRow.id).where(ContainerRow.id == container_id).with_for_update(key_share=True)
    )


async def _end(session: AsyncSession, container_id: str, state: ContainerState, reason: str, now: datetime) -> None:
    ended = await session.execute(
        update(ContainerRow)
        .where(ContainerRow.id == container_id, ContainerRow.state == "running")
        .values(state=state, ended_at=now)
        .returning(ContainerRow.id)
    )
    if ended.scalar_one_or_none() is not None:
        session.add(_event(container_id, now, state, reason))


def _event(container_id: str, now: datetime, state: ContainerState, reason: str) -> ContainerEventRow:
    return ContainerEventRow(container_id=container_id, at=now, state=state, reason=reason)


def _times(row: ContainerRow) -> Times:
    return Times(row.created_at, row.last_active_at)
