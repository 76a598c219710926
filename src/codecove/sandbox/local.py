"""Containers on this machine."""

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Self

from codecove.sandbox import admission, capacity, commands, rest
from codecove.sandbox.admission import Use
from codecove.sandbox.config import HostConfig
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerLost, ContainerNotFound, ContainerUnavailable, HostFull, SandboxError
from codecove.sandbox.finish import uncancelled
from codecove.sandbox.lifecycle import State, Transition
from codecove.sandbox.limits import Limits
from codecove.sandbox.observing import Observer, Observers, Work
from codecove.sandbox.pool import is_calm
from codecove.sandbox.premises import Premises
from codecove.sandbox.record import Record
from codecove.sandbox.resident import Resident, failure_of
from codecove.sandbox.room import Room
from codecove.sandbox.site import Site
from codecove.sandbox.standby import Standby
from codecove.sandbox.statistics import Counts, Failure, HostStatistics
from codecove.sandbox.template import Templates

__all__ = ["HostConfig", "LocalHost"]

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LOOK_SECONDS = 1.0
"""Between two looks at the machine's memory."""
_STOP_SECONDS = 10.0
"""When the server stops, processes in the background are kept as long as this has not passed."""
_STOPS_AT_ONCE = 4
_NEITHER_AWAKE_NOR_STARTED = (State.CREATING, State.WAKING, State.ASLEEP, State.FAILED, State.DELETED)


class LocalHost:
    """Implements `host.SandboxHost`.

    Entering finds the containers that an earlier server has left, asleep, and removes all else that it left. Leaving
    puts every container to sleep. In between, one that is idle for `idle_sleep` seconds goes to sleep, and the one
    that has been idle longest does when the host has no place for another. A call wakes it.
    """

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._premises = Premises(config)
        self.directory = self._premises.directory
        self.limits = config.limits
        self._residents: dict[str, Resident] = {}
        self._room = Room(
            config.bounds,
            config.admission_wait,
            awake=self._awake,
            available=self._premises.available_memory,
            make=self._make_room,
        )
        self._standby = Standby(config.pool, make=self._make_spare, is_calm=self._is_calm, image=self._premises.image)
        self._observers = Observers()
        self._counts = Counts()
        self._keeper: asyncio.Task[None] | None = None
        self._clearing: set[asyncio.Task[None]] = set()
        self._closing = False
        self._warm = Templates(self._premises)

    async def __aenter__(self) -> Self:
        """Raises `SandboxError` when the directory is in use, or something needed is missing."""
        try:
            await self._premises.open()
            async for site, kept in self._premises.found():
                cause = "its processes are kept" if kept.checkpoint else f"only its files are kept: {kept.without}"
                self._residents[kept.container_id] = self._resident_of(site, kept, State.ASLEEP, cause)
        except BaseException:
            self._premises.close()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="put idle containers to sleep")
        self._standby.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await uncancelled(self._close())

    async def create(
        self, container_id: str, limits: Limits | None = None, *, libraries: bool | None = None
    ) -> LocalContainer:
        """See `host.SandboxHost`. Raises `ValueError` for an id that is not `[A-Za-z0-9_-]`, or is taken."""
        self._check_open()
        if not _ID.fullmatch(container_id) or container_id in self._residents:
            raise ValueError(f"container id {container_id!r} is malformed or taken")
        limits = limits or self.limits
        if limits != self.limits and (more := capacity.excess(limits, self._premises.capacity())):
            raise ContainerUnavailable(f"the container's limits are more than can be had: {more}")
        # To restore one with the libraries takes less time than to load them in one of the pool.
        ready = None if libraries and self._warm.ready(limits) else self._take_ready(limits)
        resident = ready or self._new(container_id, limits)
        self._residents[container_id] = resident
        try:
            if ready is None:
                await self._boot(resident, libraries)
            async with resident.lock:
                await resident.adopt(container_id)
            if ready is not None:
                taken = Transition(State.IDLE, "taken from the pool", time.monotonic())
                self._observers.moved(container_id, State.CREATING, taken)
        except BaseException as error:
            await uncancelled(self._remove(container_id))
            if isinstance(error, SandboxError | OSError):
                self._failed("no_room" if isinstance(error, HostFull) else "boot")
            if isinstance(error, commands.CommandFailed | OSError):
                raise failure_of(error, "a container could not be made") from error
            raise
        return resident.container

    async def get(self, container_id: str) -> LocalContainer:
        """See `host.SandboxHost`."""
        container = self._resident(container_id).container
        if container.state in (State.SLEEPING, State.ASLEEP, State.WAKING, State.CRASHED):
            await self._wake(container_id)
        if container.state is State.FAILED:
            raise ContainerLost(container.last.cause)
        return container

    async def containers(self) -> AbstractSet[str]:
        """See `host.SandboxHost`."""
        return frozenset(self._residents)

    async def sleep(self, container_id: str, cause: str = "asked for") -> bool:
        """Put a container to sleep. False if it is not idle now. Raises `ContainerNotFound`, `SandboxError`, `OSError`.

        It keeps its files, and under gVisor its processes. The next call on it wakes it.
        """
        return await uncancelled(self._sleep(self._resident(container_id), cause))

    async def delete(self, container_id: str) -> None:
        """See `host.SandboxHost`."""
        await uncancelled(self._remove(container_id))

    def observe(self, observer: Observer) -> None:
        """Have it told from now on what happens to containers."""
        self._observers.add(observer)

    def statistics(self) -> HostStatistics:
        """How things are now, and what has happened since it was opened."""
        return HostStatistics(
            counts=self._counts,
            containers=Counter(resident.container.state for resident in self._residents.values()),
            pool_size=len(self._standby.residents),
            pool_wanted=self._standby.wanted,
            waiting=self._room.waiting,
            available_memory=self._premises.available_memory(),
        )

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        """For its containers: see `observing.Observer`."""
        self._room.changed()
        resident = self._residents.get(container_id)
        if resident is None:
            self._standby.changed()
            return
        if now.state is State.CRASHED:
            self._failed("crash")
            if not self._closing:
                self._clear_soon(resident)
        elif now.state is State.FAILED:
            self._failed("lost")
        self._observers.moved(container_id, before, now)

    def took(self, work: Work, seconds: float) -> None:
        """For its containers: see `observing.Observer`."""
        match work:
            case "boot":
                self._counts.boots += 1
            case "wake":
                self._counts.wakes += 1
            case "sleep":
                self._counts.sleeps += 1
            case "execution":
                pass
        self._observers.took(work, seconds)

    def control_groups(self) -> list[str]:
        """The control groups that its containers have."""
        return [group.name for group in self._premises.groups.existing()]

    async def _start(self, resident: Resident, libraries: bool | None = None) -> None:
        limits = resident.container.limits
        warm = None if libraries is False else self._warm.ready(limits)
        if not await resident.boot(await self._premises.template(limits), warm) and warm is not None:
            self._warm.reject(warm)
        if libraries or any(other.container.uses_libraries for other in self._residents.values()):
            self._warm.want(limits)

    def _check_open(self) -> None:
        if self._keeper is None or self._closing:
            raise SandboxError("the host is not open: use it as an async context manager")

    def _resident(self, container_id: str) -> Resident:
        try:
            return self._residents[container_id]
        except KeyError:
            raise ContainerNotFound(container_id) from None

    def _new(self, container_id: str, limits: Limits) -> Resident:
        return self._resident_of(self._premises.new_site(), Record(container_id, limits), State.CREATING, "asked for")

    def _resident_of(self, site: Site, kept: Record, state: State, cause: str) -> Resident:
        container = LocalContainer(
            kept.container_id,
            kept.limits,
            self._premises.place(site, kept.limits),
            begin=Transition(state, cause, time.monotonic()),
            freezing=self._config.freezing,
            observer=self,
            wake=self._wake,
        )
        return Resident(site, self._premises.ground, container, kept, self)

    def _failed(self, what: Failure) -> None:
        self._counts.failures[what] += 1

    def _take_ready(self, limits: Limits) -> Resident | None:
        """One of the pool, which has the default limits. From here on it belongs to the caller."""
        if not self._standby.is_open or limits != self.limits:
            return None
        resident = self._standby.take()
        if resident is None:
            self._counts.pool_misses += 1
        else:
            self._counts.pool_hits += 1
        return resident

    async def _boot(self, resident: Resident, libraries: bool | None) -> None:
        """When there is room for it. Raises `HostFull`, `ContainerUnavailable`, `CommandFailed`, `OSError`."""
        if reason := self._premises.disk_refusal():
            raise HostFull(reason)
        self._premises.check_image()
        limits = resident.container.limits
        async with self._room.place(limits.memory_bytes), resident.lock:
            if resident.container.state is not State.CREATING:
                raise ContainerUnavailable("the container was deleted while it was made")
            await self._start(resident, libraries)

    async def _make_spare(self) -> Resident | None:
        """One for the pool, if there is room without giving anything up. Raises what `_boot` raises."""
        with self._room.spare_place(self.limits.memory_bytes) as there_is_room:
            if not there_is_room or self._premises.disk_refusal():
                return None
            self._premises.check_image()
            resident = self._new("", self.limits)
            try:
                async with resident.lock:
                    await self._start(resident)
            except BaseException:
                await uncancelled(resident.destroy())
                raise
            return resident

    def _is_calm(self) -> bool:
        busy = sum(resident.container.state is State.BUSY for resident in self._residents.values())
        return is_calm(
            waiting=self._room.waiting, starting=self._room.starting, busy=busy, cores=len(os.sched_getaffinity(0))
        )

    def _idle(self) -> dict[str, float]:
        since = ((container_id, resident.container.idle_since) for container_id, resident in self._residents.items())
        return {container_id: moment for container_id, moment in since if moment is not None}

    def _awake(self) -> list[Use]:
        """What those take that are awake. Those being started are counted by the room itself."""
        residents = [*self._residents.values(), *self._standby.residents]
        return [
            Use(resident.container.memory_in_use, resident.container.limits.memory_bytes)
            for resident in residents
            if resident.container.state not in _NEITHER_AWAKE_NOR_STARTED
        ]

    async def _make_room(self, reason: str) -> bool:
        """Give up something that is idle. False if there is nothing."""
        if await self._standby.give_up():
            return True
        longest = rest.longest_idle(self._idle())
        if longest is None:
            return False
        await self._sleep_if_there(longest, f"room was needed: {reason}")
        return True

    async def _sleep_if_there(self, container_id: str, cause: str) -> None:
        try:
            await self.sleep(container_id, cause)
        except ContainerNotFound:
            return  # deleted meanwhile
        except (SandboxError, OSError):
            self._failed("sleep")
            _log.exception("%s could not be put to sleep", container_id)

    async def _sleep(self, resident: Resident, cause: str) -> bool:
        async with resident.lock:
            return await resident.sleep(cause, processes=True)

    async def _wake(self, container_id: str) -> None:
        """Returns when the container is no longer asleep. Raises `ContainerUnavailable`, `HostFull`."""
        resident = self._residents.get(container_id)
        if resident is None or self._closing:
            raise ContainerUnavailable("the container was deleted" if resident is None else "the server is stopping")
        async with resident.waking:
            await uncancelled(self._clear(resident))
            if resident.container.state is not State.ASLEEP:
                return
            try:
                self._premises.check_image()
                async with self._room.place(resident.container.limits.memory_bytes):
                    await uncancelled(self._wake_now(resident))
            except (HostFull, ContainerUnavailable) as error:
                self._failed("no_room" if isinstance(error, HostFull) else "wake")
                raise

    async def _wake_now(self, resident: Resident) -> None:
        async with resident.lock:
            if self._closing:
                raise ContainerUnavailable("the server is stopping")
            if resident.container.state is State.ASLEEP:
                await resident.wake()

    async def _clear(self, resident: Resident) -> None:
        """See that nothing is left of a crash, nor of a sleep that has begun. Raises `ContainerUnavailable`."""
        async with resident.lock:
            try:
                await resident.recover()
            except (SandboxError, OSError) as error:
                raise failure_of(error, "what is left of a crash can't be removed") from error

    def _clear_soon(self, resident: Resident) -> None:
        async def clear() -> None:
            try:
                await self._clear(resident)
            except SandboxError:
                _log.exception("%s: trying again when it is next used", resident.container.id)

        task = asyncio.create_task(clear(), name=f"clear up after {resident.container.id}")
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _remove(self, container_id: str) -> None:
        resident = self._residents.get(container_id)
        if resident is None:
            return
        async with resident.lock:
            try:
                await resident.destroy()
            finally:
                self._residents.pop(container_id, None)

    async def _keep(self) -> None:
        """Put to sleep what is idle, as long as the host is open."""
        patience = self._config.idle_sleep
        pause = _LOOK_SECONDS if patience is None else min(rest.interval(patience), _LOOK_SECONDS)
        while True:
            await asyncio.sleep(pause)
            for container_id in rest.due(self._idle(), now=time.monotonic(), patience=patience):
                await self._sleep_if_there(container_id, f"idle for {patience:g} s")
            while admission.is_short(self._config.bounds, self._premises.available_memory()):
                if not await self._make_room("the machine is short of memory"):
                    break

    async def _close(self) -> None:
        self._closing = True
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
            await self._standby.close()
            await self._warm.close()
            if self._clearing:
                await asyncio.wait(self._clearing)
            deadline = time.monotonic() + _STOP_SECONDS
            turn = asyncio.Semaphore(_STOPS_AT_ONCE)
            await asyncio.gather(*(self._stop(resident, turn, deadline) for resident in self._residents.values()))
            self._residents.clear()
            self._premises.groups.remove()
        finally:
            self._premises.close()

    async def _stop(self, resident: Resident, turn: asyncio.Semaphore, deadline: float) -> None:
        async with turn, resident.lock:
            # Without anything in the background there is nothing to keep that a boot would not bring as quickly.
            processes = resident.container.has_background and time.monotonic() < deadline
            try:
                if not await resident.sleep("the server stops", processes=processes):
                    await resident.abandon("the server was stopped while it was in use")
            except (SandboxError, OSError):
                _log.exception("%s could not be put to sleep", resident.container.id)
