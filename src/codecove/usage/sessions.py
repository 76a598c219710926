"""Sessions: the time for which a container is billed.

A session begins when a request uses a container that is in none. It lasts as long as a request uses the container,
and the minimum at least; who uses it meanwhile uses the same session. docs/decisions/usage-sessions.md has the reasons.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, case, insert, select, update

from codecove.store.database import Change, Database
from codecove.store.prepared import Prepared, Transaction
from codecove.store.tables import ContainerSessionRow
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


_NEWEST = Prepared(
    select(ContainerSessionRow.id, ContainerSessionRow.started_at, ContainerSessionRow.billed_microseconds)
    .where(ContainerSessionRow.container_id == bindparam("container"))
    .order_by(ContainerSessionRow.started_at.desc())
    .limit(1)
)
_ADD = Prepared(insert(ContainerSessionRow))
_EXTEND = Prepared(
    update(ContainerSessionRow)
    .where(ContainerSessionRow.id == bindparam("session"), ContainerSessionRow.used_until < bindparam("until"))
    .values(
        used_until=bindparam("until"),
        billed_microseconds=case(
            (ContainerSessionRow.billed_microseconds < bindparam("billed"), bindparam("billed")),
            else_=ContainerSessionRow.billed_microseconds,
        ),
    )
)


class Sessions:
    """The rows of sessions."""

    def __init__(self, database: Database, minimum: timedelta) -> None:
        self._database = database
        self._minimum = minimum

    async def begin(self, caller: Caller, container_id: str, now: datetime, also: Iterable[Change]) -> Session:
        """A request uses a container that nobody else uses: the session that lasts, or a new one.

        `also` is written before it in the same transaction. It locks the container's row, for whoever else begins.
        """
        begun: list[Session] = []

        def begin(transaction: Transaction) -> None:
            begun.append(self._begin(transaction, caller, container_id, now))

        await self._database.write_at_once(*also, begin)
        return begun[0]

    def _begin(self, transaction: Transaction, caller: Caller, container_id: str, now: datetime) -> Session:
        for session_id, started_at, billed_microseconds in transaction.run(_NEWEST, {"container": container_id}):
            if lasts(started_at, billed_microseconds, now):
                return Session(session_id, started_at)
        session = Session(uuid.uuid4().hex, now)
        row = {
            "id": session.id,
            "workspace_id": caller.workspace_id,
            "container_id": container_id,
            "key_id": caller.key_id,
            "request_id": caller.request_id,
            "started_at": now,
            "used_until": now,
            "billed_microseconds": billed(now, now, self._minimum),
        }
        transaction.run(_ADD, row)
        return session

    def extended(self, in_use: Iterable[Session], now: datetime) -> Change:
        """They are in use until `now` at least. A clock that was put back changes nothing."""
        # In one order, so that two transactions never wait for each other.
        rows = [
            {"session": used.id, "until": now, "billed": billed(used.started_at, now, self._minimum)}
            for used in sorted(in_use, key=lambda used: used.id)
        ]

        def extend(transaction: Transaction) -> None:
            for row in rows:
                transaction.run(_EXTEND, row)

        return extend
