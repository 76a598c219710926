"""The containers of the workspaces: handing them to requests, and ending them when their time is over."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

from codecove import clock
from codecove.containers.catalogue import NOT_FOUND, Catalogue, not_found
from codecove.containers.fleet import Fleet
from codecove.containers.lease import Lease, Replaced
from codecove.containers.policy import Expiry, OnExpired, sweep_interval
from codecove.errors import NotFound
from codecove.observe.chores import Chores
from codecove.observe.observer import Observer
from codecove.sandbox.host import SandboxHost
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.usage.meter import MINIMUM, Meter
from codecove.workspaces import Caller

_MAX_AGE = timedelta(days=30).total_seconds()
_BEAT = 5.0
"""Seconds. What is running when the server is killed is recorded so far."""


class Containers:
    """Gives requests their containers. An async context manager: it owns the tasks that expire and meter them.

    `idle_expiry` and `max_age` are in seconds. A container expires that long after its last use, or its creation;
    then it and its files are deleted, and its row stays, so that a request which names it learns that it has
    expired. `idle_expiry=None`: only the age counts. `on_expired` is what such a request gets. Containers
    outlive this object: the next one on the same database and host goes on with them.
    """

    def __init__(
        self,
        *,
        database: Database,
        host: SandboxHost,
        idle_expiry: float | None,
        max_age: float = _MAX_AGE,
        on_expired: OnExpired = "tool_error",
        session_minimum: float = MINIMUM.total_seconds(),
        now: Callable[[], datetime] = clock.now,
        observer: Observer | None = None,
    ) -> None:
        observer = observer or Observer()
        idle = None if idle_expiry is None else timedelta(seconds=idle_expiry)
        self._expiry = Expiry(idle=idle, age=timedelta(seconds=max_age))
        self._on_expired = on_expired
        self._fleet = Fleet(
            database=database,
            host=host,
            meter=Meter(database, now=now, minimum=timedelta(seconds=session_minimum)),
            expiry=self._expiry,
            now=now,
            observer=observer,
        )
        self.limits = self._fleet.limits
        self.catalogue = Catalogue(database, expiry=self._expiry, leased=self._fleet.leased, now=now)
        """What there is to see of them, without using them."""
        self.readiness = self._fleet.readiness
        self._chores = Chores(observer.metrics)

    async def __aenter__(self) -> Self:
        await self._fleet.reconcile()
        await self._chores.__aenter__()
        self._chores.every(sweep_interval(self._expiry), "expire containers", self.sweep)
        self._chores.every(_BEAT, "meter", self.beat)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await finish(self._close())

    async def _close(self) -> None:
        await self._chores.__aexit__()
        await self._fleet.close()

    @asynccontextmanager
    async def lease(
        self,
        caller: Caller,
        container_id: str | None,
        *,
        on_expired: OnExpired | None = None,
        gives_way: bool = False,
    ) -> AsyncIterator[Lease]:
        """Hold the named container, or one that is made when it is first needed, for one request.

        Of one that has expired or failed, `on_expired` (else that of this object) says what becomes: a lease whose
        `container()` raises, a `NotFound` that says so, or a lease of a new container with a `notice`. Raises
        `NotFound` if the caller's workspace never had one of that id, or has deleted it. One that is made here with
        `gives_way` ends, when nobody uses it, if a quota has no place for another; naming it later keeps it.
        """
        lease = Lease(self._fleet, caller, None, None, gives_way=gives_way)
        if container_id is not None:
            lease = await self._take(caller, container_id, on_expired or self._on_expired)
        try:
            yield lease
        finally:
            await finish(lease.release())

    async def _take(self, caller: Caller, container_id: str, on_expired: OnExpired) -> Lease:
        taken = await self._fleet.take(caller, container_id)
        if taken is None:
            raise not_found(container_id)
        if taken.state == "running" or on_expired == "tool_error":
            return Lease(self._fleet, caller, container_id, taken)
        state, reason = await self._fleet.records.ending(container_id)
        if on_expired == "http_error":
            raise NotFound(
                f"{NOT_FOUND}: {container_id!r} has {state} ({reason}) and its files are gone; "
                "leave `container` out to get a new one"
            )
        return Lease(self._fleet, caller, None, None, replaced=Replaced(container_id, f"{state}: {reason}"))

    async def delete(self, caller: Caller, container_id: str) -> None:
        """Delete a container with all that is in it; what runs there ends. Raises `NotFound`."""
        if not await self._fleet.delete(caller, container_id):
            raise not_found(container_id)

    async def find_by_call(self, caller: Caller, call_id: str) -> str | None:
        """The container that a call (`srvtoolu_…`) of the caller's workspace ran in, or is to run in."""
        return await self._fleet.records.find_by_call(caller, call_id)

    async def sweep(self) -> None:
        """Expire what is due now. A chore of this object does it all the time."""
        await self._fleet.sweep()

    async def beat(self) -> None:
        """Record what runs now. A chore of this object does it all the time."""
        await self._fleet.beat()
