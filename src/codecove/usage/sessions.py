"""Sessions: the time for which a container is billed.

A session begins when a request uses a container that is in none. It lasts as long as a request uses the container,
and the minimum at least; who uses it meanwhile uses the same session. docs/decisions/usage-sessions.md has the reasons.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerRow, ContainerSessionRow
from codecove.workspaces import Caller

_MICROSECOND = timedelta(microseconds=1)


def billed(started_at: datetime, used_until: datetime, minimum: timedelta) -> int:
    """Microseconds for which a session is billed."""
    return max(used_until - started_at, minimum) // _MICROSECOND


def lasts(started_at: datetime, billed_microseconds: int, now: datetime) -> bool:
    """Whether a session that nobody uses goes on, because its minimum is not over."""
    return now < started_at + timedelta(microseconds=billed_microseconds)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is in use."""

    id: str
    started_at: datetime


class Sessions:
    """The rows of sessions."""

    def __init__(self, database: Database, minimum: timedelta) -> None:
        self._database = database
        self._minimum = minimum

    @to_the_end
    async def begin(self, caller: Caller, container_id: str, now: datetime) -> Session:
        """A request uses a container that nobody else uses: the session that lasts, or a new one."""
        async with self._database.write() as session:
            await session.execute(
                select(ContainerRow.id).where(ContainerRow.id == container_id).with_for_update(key_share=True)
            )
            newest = (
                select(ContainerSessionRow)
                .where(ContainerSessionRow.container_id == container_id)
                .order_by(ContainerSessionRow.started_at.desc())
                .limit(1)
            )
            row = await session.scalar(newest)
            if row is None or not lasts(row.started_at, row.billed_microseconds, now):
                row = ContainerSessionRow(
                    id=uuid.uuid4().hex,
                    workspace_id=caller.workspace_id,
                    container_id=container_id,
                    key_id=caller.key_id,
                    request_id=caller.request_id,
                    started_at=now,
                    used_until=now,
                    billed_microseconds=billed(now, now, self._minimum),
                )
                session.add(row)
        return Session(row.id, row.started_at)

    @to_the_end
    async def extend(self, in_use: Iterable[Session], now: datetime) -> None:
        """They are in use until `now` at least. A clock that was put back changes nothing."""
        async with self._database.write() as session:
            # In one order, so that two transactions never wait for each other.
            for used in sorted(in_use, key=lambda used: used.id):
                await session.execute(
                    update(ContainerSessionRow)
                    .where(ContainerSessionRow.id == used.id, ContainerSessionRow.used_until < now)
                    .values(used_until=now)
                )
                microseconds = billed(used.started_at, now, self._minimum)
                await session.execute(
                    update(ContainerSessionRow)
                    .where(ContainerSessionRow.id == used.id, ContainerSessionRow.billed_microseconds < microseconds)
                    .values(billed_microseconds=microseconds)
                )
