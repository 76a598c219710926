"""The containers of one server: their rows and their sandboxes, kept in step."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime

import structlog

from codecove import ids
from codecove.containers.budget import Budget
from codecove.containers.changes import active
from codecove.containers.executions import Executions
from codecove.containers.policy import Expiry, Times
from codecove.containers.quotas import Admission
from codecove.containers.readiness import Readiness
from codecove.containers.records import Records, Taken
from codecove.observe.observer import Observer
from codecove.sandbox.errors import (
    ContainerExpired,
    ContainerLost,
    ContainerNotFound,
    ContainerUnavailable,
    SandboxError,
)
from codecove.sandbox.host import Container, SandboxHost
from codecove.sandbox.limits import Limits
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.store.tables import ContainerState
from codecove.usage.meter import Meter
from codecove.workspaces import Caller

_DELETIONS_AT_ONCE = 8

log = structlog.get_logger(__name__)


class Fleet:
    """What the leases of a server and its sweep share."""

    def __init__(
        self,
        *,
        database: Database,
        host: SandboxHost,
        meter: Meter,
        expiry: Expiry,
        now: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self.observer = observer
        self.now = now
        self.expiry = expiry
        self.records = Records(database, expiry)
        self.executions = Executions(database)
        self.admission = Admission(self.records, Budget(database, now), expiry, now, self._give_way)
        self.meter = meter
        self._host = host
        self.readiness = Readiness(host)
        self.leased: Counter[str] = Counter()
        """How many requests hold a container. Only those that some do are in it."""
        self.running: set[str] = set()
        """The executions that run."""
        self._doomed: set[str] = set()
        """Ended, but still to be deleted on the host."""

    def __repr__(self) -> str:
        return f"<Fleet leased={dict(self.leased)} doomed={sorted(self._doomed)}>"

    async def create(
        self, caller: Caller, reason: str, *, libraries: bool | None = None, gives_way: bool = False
    ) -> tuple[str, Times]:
        """Boot a container and take it. Cancelled or failed half way, it leaves nothing. `libraries`: `SandboxHost`.

        `gives_way`: until it is named, it ends when a quota of containers has no other place for one.

        Raises `ContainerUnavailable`, `HostFull`, `QuotaExceeded`.
        """
        container_id = ids.new("container")
        async with self.admission.container(caller, container_id):
            try:
                await self._host.create(container_id, self.limits(caller), libraries=libraries)
                created_at = self.now()
                await self.records.add(caller, container_id, reason, created_at, gives_way=gives_way)
            except BaseException as error:
                await finish(self.end([container_id], "failed", f"its creation ended with {type(error).__name__}"))
                raise
        self.leased[container_id] += 1
        return container_id, Times(created_at, created_at)

    def limits(self, caller: Caller) -> Limits:
        """What a container that is made for the caller may use."""
        return replace(self._host.limits, **caller.container_limits.for_container())

    async def take(self, caller: Caller, container_id: str) -> Taken | None:
        """Use an existing container: while it is taken it does not expire. None if the workspace has none such.

        Only one that is running is taken, and must be released.
        """
        # Before the row is read: a sweep that comes between finds it in use.
        self.leased[container_id] += 1
        taken = None
        try:
            taken = await self.records.take(caller, container_id, self.now(), self.leased)
        finally:
            if taken is None or taken.state != "running":
                self.release(container_id)
        if taken is not None and taken.expired_now:
            self._doomed.add(container_id)
        return taken

    def release(self, container_id: str) -> None:
        """A use ends. First its last activity is to be written: see `Records.expire_due`."""
        self.leased[container_id] -= 1
        if self.leased[container_id] == 0:
            del self.leased[container_id]

    async def get(self, container_id: str) -> Container:
        """A container that was running when it was taken.

        Raises `ContainerExpired`, `ContainerUnavailable`, `HostFull`. One that is unavailable now may be there again
        the next time, unless it is lost.
        """
        try:
            return await self._host.get(container_id)
        except ContainerNotFound:
            await self.end([container_id], "expired", "its host no longer has it")
        except ContainerLost as error:
            await self.end([container_id], "failed", str(error))
        raise await self.ending(container_id)

    async def ending(self, container_id: str) -> SandboxError:
        """The error that says why a container which is no longer running can't be used."""
        state, reason = await self.records.ending(container_id)
        if state == "expired":
            return ContainerExpired(container_id)
        if state == "deleted":
            return ContainerUnavailable(f"container {container_id!r} has been deleted")
        return ContainerUnavailable(
            f"container {container_id!r} has failed ({reason}) and its files are gone; "
            "leave `container` out to start in a new one"
        )

    async def end(self, container_ids: Iterable[str], state: ContainerState, reason: str) -> None:
        """Bring containers to an end: their rows say so with the reason, and the host deletes them."""
        ended = list(container_ids)
        self._doomed.update(ended)
        await self.records.end(ended, state, reason, self.now())
        await self._delete_doomed()

    async def delete(self, caller: Caller, container_id: str) -> bool:
        """Delete a container, also one that is in use. False if the workspace has none such."""
        if not await self.records.delete(caller, container_id, "deleted by a request", self.now()):
            return False
        self._doomed.add(container_id)
        await self._delete_doomed()
        return True

    async def sweep(self) -> None:
        """Expire what is due, and delete on the host what has ended."""
        expired = await self.records.expire_due(self.leased, self.now())
        for container_id in expired:
            log.info("container expired", container_id=container_id)
        self._doomed.update(expired)
        await self._delete_doomed()

    async def beat(self) -> None:
        """Record what runs and what is used now: more than this nobody knows of it if the server is killed."""
        if not self.leased:
            return
        now = self.now()
        await self.records.write(
            self.executions.seen(self.running, now), active(self.leased, now), self.meter.beat(now)
        )

    async def reconcile(self) -> None:
        """At start: bring rows and host in step, and expire what has become due while there was no server."""
        await self.executions.interrupt_unfinished()
        there = await self._host.containers()
        running = set(await self.records.running())
        await self.end(running - there, "expired", "the server stopped and its host no longer has it")
        # Of these the rows say that they have ended, or the server was killed before there was a row.
        self._doomed.update(there - running)
        await self.sweep()

    async def close(self) -> None:
        """At shutdown: containers stay, for the next server to go on with."""
        if self.leased:
            log.warning("containers still in use at shutdown", container_ids=sorted(self.leased))
        await self._delete_doomed()

    async def _give_way(self, owner: str, creating: Collection[str]) -> bool:
        """End one that gives way. False if there is none that nobody uses."""
        ended = await self.records.give_way(owner, {*self.leased, *creating}, self.now())
        if ended is None:
            return False
        log.info("container gave way", container_id=ended)
        self._doomed.add(ended)
        await self._delete_doomed()
        return True

    async def _delete_doomed(self) -> None:
        """Delete on the host; one that can't be deleted now is tried again at the next sweep."""
        doomed, self._doomed = self._doomed, set()
        turn = asyncio.Semaphore(_DELETIONS_AT_ONCE)

        async def delete(container_id: str) -> None:
            async with turn:
                try:
                    await self._host.delete(container_id)
                except Exception:
                    log.exception("a container could not be deleted", container_id=container_id)
                    self._doomed.add(container_id)

        try:
            async with asyncio.TaskGroup() as tasks:
                for container_id in doomed:
                    tasks.create_task(delete(container_id), name=f"delete {container_id}")
        except BaseException:
            self._doomed.update(doomed)
            raise
