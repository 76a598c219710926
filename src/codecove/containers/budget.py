"""Seconds of execution that callers may use in a day. Exact: what is left is given out once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import func, select

from codecove.containers.refusal import A_WHILE, QuotaExceeded
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ExecutionRow
from codecove.workspaces import Caller

_OWNERS = {"workspace": ExecutionRow.workspace_id, "key": ExecutionRow.key_id}


class Budget:
    """What is left of the day: the quota, without what has run (by the rows) and what may yet be run by those that do.

    An execution that runs has reserved the time it may take at most, and is counted with that until it has ended.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._granting = asyncio.Lock()
        self._reserved: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """By whom it counts to, and the execution's id."""

    @asynccontextmanager
    async def reserve(self, caller: Caller, execution_id: str, seconds: float | None) -> AsyncIterator[float | None]:
        """Run for at most `seconds` within the block, its row included. The value is how long it may run.

        None: nobody knows how long. Then nothing is reserved, and the value is None too. Raises `QuotaExceeded` when
        nothing is left.
        """
        limited = [
            (kind, owner, limit)
            for kind, owner, quotas in caller.limits
            if (limit := quotas.execution_seconds_per_day) is not None
        ]
        if not limited:
            yield seconds
            return
        async with self._granting:
            left = min([await self._left(*limits) for limits in limited])
            granted = None if seconds is None else min(seconds, left)
            for _, owner, _ in limited:
                self._reserved[owner][execution_id] = granted or 0.0
        try:
            yield granted
        finally:
            for _, owner, _ in limited:
                del self._reserved[owner][execution_id]
                if not self._reserved[owner]:
                    del self._reserved[owner]

    async def _left(self, kind: str, owner: str, limit: int) -> float:
        # Those in memory are read before the rows: one that ends meanwhile counts with what it has reserved.
        running = dict(self._reserved.get(owner, ()))
        now = self._now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        spent = await self._spent(kind, owner, midnight, without=list(running)) / 1_000_000
        left = limit - spent - sum(running.values())
        if left > 0:
            return left
        if spent < limit:
            raise QuotaExceeded(
                f"This {kind} may use {limit} seconds of execution a day, and what is left of them is in use by "
                "executions that run now. Try again when one has ended.",
                retry_after=A_WHILE,
            )
        raise QuotaExceeded(
            f"This {kind} has used up its {limit} seconds of execution for today; the next day begins at 00:00 UTC.",
            retry_after=(midnight + timedelta(days=1) - now).total_seconds(),
        )

    @to_the_end
    async def _spent(self, kind: str, owner: str, since: datetime, without: list[str]) -> int:
        """Microseconds."""
        query = select(func.coalesce(func.sum(ExecutionRow.microseconds), 0)).where(
            _OWNERS[kind] == owner, ExecutionRow.started_at >= since, ExecutionRow.id.not_in(without)
        )
        async with self._database.read() as session:
            return int(await session.scalar(query) or 0)
