"""Holding callers to what their workspace and their key may use: containers, executions, seconds of execution."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime

from codecove.containers.budget import Budget
from codecove.containers.policy import Expiry
from codecove.containers.records import Records, Running
from codecove.containers.refusal import A_WHILE, QuotaExceeded
from codecove.workspaces import Caller


class Admission:
    """Who may make another container, or run another execution. Exact: the last place is given out once."""

    def __init__(
        self,
        records: Records,
        budget: Budget,
        expiry: Expiry,
        now: Callable[[], datetime],
        give_way: Callable[[str, Collection[str]], Awaitable[bool]],
    ) -> None:
        """`give_way` ends a container of a workspace or key that is there only as long as there is room, if it has
        one that is not among the given ones, and says whether it had.
        """
        self._records = records
        self._budget = budget
        self._expiry = expiry
        self._now = now
        self._give_way = give_way
        self._reserving = asyncio.Lock()
        self._creating: defaultdict[str, set[str]] = defaultdict(set)
        """The containers that are being made, by the id of the workspace, and of the key."""
        self._executing: Counter[str] = Counter()
        """How many executions run, by the same."""

    @asynccontextmanager
    async def container(self, caller: Caller, container_id: str) -> AsyncIterator[None]:
        """Make a container within the block, its row included. Raises `QuotaExceeded`."""
        async with self._reserving:
            await self._check_containers(caller)
            for _, owner, _ in caller.limits:
                self._creating[owner].add(container_id)
        try:
            yield
        finally:
            for _, owner, _ in caller.limits:
                self._creating[owner].discard(container_id)
                if not self._creating[owner]:
                    del self._creating[owner]

    async def _check_containers(self, caller: Caller) -> None:
        for kind, owner, quotas in caller.limits:
            if (limit := quotas.containers) is None:
                continue
            # Those being made are from before the rows are read: one that gets its row meanwhile is in both.
            creating = set(self._creating.get(owner, ()))
            running = await self._records.running_of(owner)
            while len(creating | running.keys()) >= limit:
                if not await self._give_way(owner, creating):
                    raise self._no_container(kind, limit, running)
                running = await self._records.running_of(owner)

    def _no_container(self, kind: str, limit: int, running: Running) -> QuotaExceeded:
        soonest = min((self._expiry.at(times) for times in running.values()), default=self._now())
        return QuotaExceeded(
            f"container: this {kind} has its {limit} containers already; "
            "reuse one of them by its id, delete one, or wait until one expires",
            retry_after=max((soonest - self._now()).total_seconds(), 1.0),
        )

    @asynccontextmanager
    async def execution(self, caller: Caller, execution_id: str, seconds: float | None) -> AsyncIterator[float | None]:
        """Run something for at most `seconds` within the block. The value is how long it may run; see `Budget`.

        Raises `QuotaExceeded`.
        """
        with self._place(caller):
            async with self._budget.reserve(caller, execution_id, seconds) as granted:
                yield granted

    @contextmanager
    def _place(self, caller: Caller) -> Iterator[None]:
        for kind, owner, quotas in caller.limits:
            if quotas.executions is not None and self._executing[owner] >= quotas.executions:
                raise QuotaExceeded(
                    f"This {kind} runs {quotas.executions} executions already, which is its limit. "
                    "Try again when one has ended.",
                    retry_after=A_WHILE,
                )
        owners = [owner for _, owner, _ in caller.limits]
        self._executing.update(owners)
        try:
            yield
        finally:
            self._executing.subtract(owners)
            for owner in owners:
                if not self._executing[owner]:
                    del self._executing[owner]
