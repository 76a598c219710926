"""A request's hold on a container."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from codecove.clock import monotonic
from codecove.containers.changes import active
from codecove.containers.executions import ExecutionRecord
from codecove.containers.fleet import Fleet
from codecove.containers.records import Taken
from codecove.sandbox.errors import ContainerExpired, ContainerLost
from codecove.sandbox.host import Container
from codecove.store.database import Change
from codecove.store.finish import finish
from codecove.together import both
from codecove.workspaces import Caller

_JUST_NOW = timedelta(milliseconds=100)
"""A request that ends so soon after its last execution has ended with it: that is in the rows already."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The container that a request named, had ended, and is given another one for."""

    container_id: str
    reason: str


async def _nothing(_: Container) -> None: ...


class Lease:
    """One request's container: the one it named, or one made when it is first needed.

    It does not expire while the lease is held. `Containers.lease` gives it out and takes it back.
    """

    def __init__(
        self,
        fleet: Fleet,
        caller: Caller,
        container_id: str | None,
        taken: Taken | None,
        *,
        replaced: Replaced | None = None,
        gives_way: bool = False,
    ) -> None:
        self._fleet = fleet
        self._gives_way = gives_way
        self._caller = caller
        self._container_id = container_id
        self._usable = taken is None or taken.state == "running"
        self._times = None if taken is None else taken.times
        self._replaced = replaced
        self._loaded_files = frozenset() if taken is None else taken.loaded_files
        self._metered = False
        """Whether the container counts as used by this request."""
        self._written_at: datetime | None = None
        """Until when that is written, and its activity."""
        self._creating = asyncio.Lock()

    @property
    def container_id(self) -> str | None:
        """None until there is a container."""
        return self._container_id

    @property
    def expires_at(self) -> datetime | None:
        """When the container expires if nothing more happens to it; never too late. None without a container."""
        return None if self._times is None else self._fleet.expiry.at(self._times)

    @property
    def notice(self) -> str | None:
        """What the model has to know of the container before it goes on, or None."""
        if self._replaced is None:
            return None
        return (
            f"Container {self._replaced.container_id} is gone ({self._replaced.reason}). This is a new container: "
            "the files that were in the old one, and the programs that ran there, are lost."
        )

    @property
    def loaded_files(self) -> frozenset[str]:
        """Ids of the files that have been put into the container."""
        return self._loaded_files

    async def container(self) -> Container:
        """The container; made by the first call if the request named none.

        Raises `ContainerExpired`, `ContainerUnavailable` (it did not boot, or has failed: a new request without
        `container` gets another one), `HostFull`, `QuotaExceeded`.
        """
        container = await self._opened()
        await self._begin_use(container.id)
        return container

    async def _opened(self, libraries: bool | None = None) -> Container:
        async with self._creating:
            if self._container_id is None:
                reason = "created by a request"
                if self._replaced is not None:
                    reason += f" in place of {self._replaced.container_id}"
                self._container_id, self._times = await self._fleet.create(
                    self._caller, reason, libraries=libraries, gives_way=self._gives_way
                )
        if not self._usable:
            raise await self._fleet.ending(self._container_id)
        return await self._fleet.get(self._container_id)

    async def _begin_use(self, container_id: str, *also: Change) -> None:
        """From now on the container counts as used by this request. `also` is written in the same transaction."""
        changes = (active([container_id], self._active()), *also)
        async with self._creating:
            if not self._metered:
                await self._fleet.meter.begin(self._caller, container_id, *changes)
                self._metered = True
                return
        if also:
            await self._fleet.records.write(*changes)

    async def mark_loaded(self, file_ids: Iterable[str]) -> None:
        """Remember that these files have been put into the container."""
        loaded = frozenset(file_ids)
        await self._fleet.records.add_files(self._existing(), loaded)
        self._loaded_files |= loaded

    async def remember_call(self, call_id: str) -> None:
        """Let `Containers.find_by_call` find this container: the call runs in a later request.

        Without a container there is nothing to remember: the later request makes one.
        """
        if self._container_id is not None:
            await self._fleet.records.add_call(self._container_id, call_id)

    @asynccontextmanager
    async def execution(
        self,
        call_id: str,
        tool: str,
        *,
        input_sha256: str | None = None,
        at_most: float | None = None,
        libraries: bool | None = None,
        prepare: Callable[[Container], Coroutine[Any, Any, None]] = _nothing,
    ) -> AsyncIterator[ExecutionRecord]:
        """Record what runs in the block: when, how long, and what the block sets on the record.

        It may run `at_most` seconds (None: nobody knows), or less if the record's `allowed_seconds` say so. The
        container is made before, if it has to be; `libraries` is what `SandboxHost.create` then gets to know. While the
        record is being written `prepare` is called with the container, and is awaited before the block: it may run
        nothing of the caller's there.

        Raises what `container` and `prepare` do, and `QuotaExceeded` if the workspace or the key may not run more now:
        then there is neither a new container nor a record. When `ContainerLost` comes out of the block, directly or as
        a cause, the container has failed; after any other `ContainerUnavailable` it may be there again for the next.
        """
        record = ExecutionRecord(input_sha256=input_sha256)
        async with self._fleet.admission.execution(self._caller, record.id, at_most) as allowed:
            record.allowed_seconds = allowed
            container = await self._opened(libraries)
            with self._fleet.observer.execution(record, tool=tool, container_id=container.id):
                async with self._recorded(record, container, call_id, tool, prepare):
                    yield record

    @asynccontextmanager
    async def _recorded(
        self,
        record: ExecutionRecord,
        container: Container,
        call_id: str,
        tool: str,
        prepare: Callable[[Container], Coroutine[Any, Any, None]],
    ) -> AsyncIterator[None]:
        fleet, container_id = self._fleet, container.id
        fleet.running.add(record.id)
        started = monotonic()
        try:
            starting = fleet.executions.started(
                record, caller=self._caller, container_id=container_id, call_id=call_id, tool=tool, now=fleet.now()
            )
            with container.held():  # the record may take longer than what is prepared
                await both(prepare(container), self._begin_use(container_id, starting))
            started = monotonic()
            yield
        except BaseException as error:
            record.error_code = record.error_code or _error_code(error)
            if (cause := _lost(error)) is not None:
                await finish(fleet.end([container_id], "failed", str(cause)))
            raise
        finally:
            if record.microseconds is None:
                record.microseconds = round((monotonic() - started) * 1_000_000)
            fleet.running.discard(record.id)
            if record.return_code is not None:
                fleet.readiness.ran()
            await self._write_use(fleet.executions.ended(record, fleet.now()))

    def _active(self) -> datetime:
        """The container is active at this moment."""
        now = self._fleet.now()
        if self._times is not None:
            self._times = replace(self._times, last_active_at=now)
        return now

    async def _write_use(self, *also: Change) -> None:
        """The container has been used until now. `also` is written in the same transaction."""
        if self._container_id is None:
            return
        now = self._active()
        changes = [*also, active([self._container_id], now)]
        if self._metered:
            changes.append(self._fleet.meter.used(self._container_id, now))
        await self._fleet.records.write(*changes)
        self._written_at = now

    async def release(self) -> None:
        """Give the container back. For `Containers.lease` alone."""
        if self._container_id is None or not self._usable:
            return
        now = self._fleet.now()
        try:
            if self._written_at is None or not timedelta() <= now - self._written_at < _JUST_NOW:
                await self._write_use()
        finally:
            if self._metered:
                self._fleet.meter.end(self._container_id)
            self._fleet.release(self._container_id)

    def _existing(self) -> str:
        if self._container_id is None:
            raise RuntimeError("there is no container yet: await lease.container() first")
        return self._container_id


def _lost(error: BaseException) -> ContainerLost | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ContainerLost):
        cause = cause.__cause__
    return cause


def _error_code(error: BaseException) -> str:
    match error:
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case ContainerExpired():
            return "container_expired"
        case _:
            return "unavailable"
