"""The containers of the workspaces: handing them to requests, and ending them when their time is over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

import structlog

from codecove import clock
from codecove.containers.fleet import Fleet
from codecove.containers.lease import Lease
from codecove.containers.policy import Expiry, sweep_interval
from codecove.errors import NotFound
from codecove.sandbox.host import SandboxHost
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.workspaces import Caller

log = structlog.get_logger(__name__)


class Containers:
    """Gives requests their containers. An async context manager: it owns the task that expires them.

    `idle_expiry` is in seconds. Every use of a container moves its expiry to that long after; then it and its files
    are deleted, and its row stays, so that a request which names it learns that it has expired. On leaving the
    context every container is deleted.
    """

    def __init__(
        self,
        *,
        database: Database,
        host: SandboxHost,
        idle_expiry: float,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._expiry = Expiry(idle=timedelta(seconds=idle_expiry))
        self._fleet = Fleet(database=database, host=host, expiry=self._expiry, now=now)
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._fleet.reconcile()
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="expire containers")
        return self

    async def __aexit__(self, *exc: object) -> None:
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            await finish(self._close(sweeper))

    async def _close(self, sweeper: asyncio.Task[None]) -> None:
        sweeper.cancel()
        await asyncio.wait({sweeper})
        await self._fleet.close()

    @asynccontextmanager
    async def lease(self, caller: Caller, container_id: str | None) -> AsyncIterator[Lease]:
        """Hold the named container, or one that is made when it is first needed, for one request.

        An expired or failed one is given out too: its `container()` raises. Raises `NotFound` if the caller's
        workspace never had one of that id.
        """
        taken = None
        if container_id is not None:
            taken = await self._fleet.take(caller, container_id)
            if taken is None:
                raise NotFound(
                    f"container: there is no container {container_id!r}; leave `container` out to get a new one"
                )
        lease = Lease(self._fleet, caller, container_id, taken)
        try:
            yield lease
        finally:
            await finish(lease.release())

    async def find_by_call(self, caller: Caller, call_id: str) -> str | None:
        """The container that a pending call (`srvtoolu_…`) of the caller's workspace is to run in."""
        return await self._fleet.records.find_by_call(caller, call_id)

    async def sweep(self) -> None:
        """Expire what is due now. The task of this object calls it all the time."""
        await self._fleet.sweep()

    async def _sweep_forever(self) -> None:
        interval = sweep_interval(self._expiry)
        while True:
            await asyncio.sleep(interval)
            try:
                await self.sweep()
            except Exception:
                # A locked database or a failing host is no reason to stop expiring for good.
                log.exception("expiring containers failed; trying again", seconds=interval)
