"""Holding workspaces to what they may use at once: containers and executions."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime

from codecove.containers.policy import Expiry
from codecove.containers.records import Records
from codecove.errors import RateLimited
from codecove.workspaces import Caller

_EXECUTION_WAIT = 5.0
"""Seconds after which another execution may have ended: nobody knows when one does."""


class QuotaExceeded(RateLimited):
    """The workspace uses as much as it may. The message says of what, and how to get on."""


class Admission:
    """Who may make another container, or run another execution. Exact: the last place is given out once."""

    def __init__(self, records: Records, expiry: Expiry, now: Callable[[], datetime]) -> None:
        self._records = records
        self._expiry = expiry
        self._now = now
        self._reserving = asyncio.Lock()
        self._creating: defaultdict[str, set[str]] = defaultdict(set)
        self._executing: Counter[str] = Counter()

    @asynccontextmanager
    async def container(self, caller: Caller, container_id: str) -> AsyncIterator[None]:
        """Make a container within the block, its row included. Raises `QuotaExceeded`."""
        creating = self._creating[caller.workspace_id]
        async with self._reserving:
            await self._check_containers(caller, set(creating))
            creating.add(container_id)
        try:
            yield
        finally:
            creating.discard(container_id)

    async def _check_containers(self, caller: Caller, creating: set[str]) -> None:
        """`creating` is from before the rows are read: one that gets its row meanwhile is in both, and counts once."""
        limit = caller.quotas.containers
        if limit is None:
            return
        running = await self._records.running_of(caller)
        if len(creating | running.keys()) < limit:
            return
        soonest = min((self._expiry.at(times) for times in running.values()), default=self._now())
        raise QuotaExceeded(
            f"container: this workspace has its {limit} containers already; "
            "reuse one of them by its id, delete one, or wait until one expires",
            retry_after=max((soonest - self._now()).total_seconds(), 1.0),
        )

    @contextmanager
    def execution(self, caller: Caller) -> Iterator[None]:
        """Run something within the block. Raises `QuotaExceeded`."""
        limit, running = caller.quotas.executions, self._executing
        if limit is not None and running[caller.workspace_id] >= limit:
            raise QuotaExceeded(
                f"This workspace runs {limit} executions already, which is its limit. Try again when one has ended.",
                retry_after=_EXECUTION_WAIT,
            )
        running[caller.workspace_id] += 1
        try:
            yield
        finally:
            running[caller.workspace_id] -= 1
