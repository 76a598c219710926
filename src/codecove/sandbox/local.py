"""Containers on this machine."""

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from codecove.sandbox import cgroup, commands, guestbuild, layer, record, rest
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, HostFull, SandboxError
from codecove.sandbox.lifecycle import State
from codecove.sandbox.limits import Limits
from codecove.sandbox.resident import DISK_RESERVE_BYTES, Ground, Resident
from codecove.sandbox.runtime import Runtime
from codecove.sandbox.site import Site

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_STOP_SECONDS = 10.0
"""When the server stops, processes in the background are kept as long as this has not passed."""
_STOPS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What a host needs to know."""

    directory: Path
    """Everything that the sandbox makes lies below it. One server at a time."""
    rootfs: Path
    """The root file system of the image. Never written to."""
    runtime: str = "runsc"
    """`runsc`, `crun` or `runc`, or a path to one."""
    limits: Limits = field(default_factory=Limits)
    max_containers: int = 100
    """Awake at once. Those that sleep take nothing but disk, and are bounded by that."""
    idle_sleep: float | None = 300.0
    """Seconds without a call after which a container goes to sleep. None: never."""


class LocalHost:
    """Implements `host.SandboxHost`.

    Entering finds the containers that an earlier server has left, asleep, and removes all else that it left. Leaving
    puts every container to sleep. In between, one that is idle for `idle_sleep` seconds goes to sleep, and the one
    that has been idle longest does when the host has no place for another. A call wakes it.
    """

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self.directory = config.directory.absolute()
        self._hierarchies = cgroup.detect()
        self._runtime = Runtime(config.runtime, self.directory / "runtime", self._hierarchies)
        self._cgroup = cgroup.Cgroup(self._hierarchies, f"/codecove-{_name_of(self.directory)}")
        self._residents: dict[str, Resident] = {}
        self._places = asyncio.Lock()
        """Held by whoever takes one of the places for containers that are awake."""
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False
        self._lock_file: IO[bytes] | None = None
        self._ground: Ground | None = None
        self._template_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Raises `SandboxError` when the directory is in use, or something needed is missing."""
        if os.geteuid() != 0:
            raise SandboxError("containers need root: start the server as root")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(self.directory)
        try:
            rootfs = self._config.rootfs.resolve()
            await self._runtime.probe()
            built = await asyncio.to_thread(guestbuild.build, self.directory, rootfs)
            self._ground = Ground(rootfs, built, self._runtime)
            for directory in (self._sites_directory, self._templates):
                directory.mkdir(mode=0o700, exist_ok=True)
            await self._recover(self._ground)
            self._runtime.root.mkdir(mode=0o700, exist_ok=True)
        except BaseException:
            self._lock_file.close()
            raise
        if self._config.idle_sleep is not None:
            self._keeper = asyncio.create_task(self._keep(self._config.idle_sleep), name="put idle containers to sleep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await commands.uncancelled(self._close())

    async def create(self, container_id: str, limits: Limits | None = None) -> LocalContainer:
        """See `host.SandboxHost`. Raises `ValueError` for an id that is not `[A-Za-z0-9_-]`, or is taken."""
        limits = limits or self._config.limits
        async with self._places:
            if not _ID.fullmatch(container_id) or container_id in self._residents:
                raise ValueError(f"container id {container_id!r} is malformed or taken")
            if layer.free_bytes(self.directory) < DISK_RESERVE_BYTES:
                raise HostFull(f"less than {DISK_RESERVE_BYTES >> 30} GiB of disk left below {self.directory}")
            await self._make_place()
            site = self._site(secrets.token_hex(10))
            resident = Resident.new(site, self._open(), container_id, limits, self._wake)
            self._residents[container_id] = resident
        try:
            async with resident.lock:
                await resident.boot(await self._template(limits))
        except BaseException as error:
            await commands.uncancelled(self._remove(container_id))
            if isinstance(error, commands.CommandFailed | OSError):
                raise ContainerUnavailable("a container could not be made", detail=str(error)) from error
            raise
        return resident.container

    async def get(self, container_id: str) -> LocalContainer:
        """See `host.SandboxHost`."""
        container = self._resident(container_id).container
        if container.state in (State.SLEEPING, State.ASLEEP, State.WAKING):
            await self._wake(container_id)
        return container

    async def containers(self) -> AbstractSet[str]:
        """See `host.SandboxHost`."""
        return frozenset(self._residents)

    async def sleep(self, container_id: str, cause: str = "asked for") -> bool:
        """Put a container to sleep. False if it is not idle now. Raises `ContainerNotFound`, `SandboxError`, `OSError`.

        It keeps its files, and under gVisor its processes. The next call on it wakes it.
        """
        return await commands.uncancelled(self._sleep(self._resident(container_id), cause))

    async def delete(self, container_id: str) -> None:
        """See `host.SandboxHost`."""
        await commands.uncancelled(self._remove(container_id))

    def control_groups(self) -> list[str]:
        """The control groups that its containers have."""
        return [group.name for group in self._cgroup.children()]

    @property
    def _sites_directory(self) -> Path:
        return self.directory / "containers"

    @property
    def _templates(self) -> Path:
        return self.directory / "templates"

    def _open(self) -> Ground:
        if self._ground is None or self._closing:
            raise SandboxError("the host is not open: use it as an async context manager")
        return self._ground

    def _resident(self, container_id: str) -> Resident:
        try:
            return self._residents[container_id]
        except KeyError:
            raise ContainerNotFound(container_id) from None

    def _site(self, name: str) -> Site:
        group = cgroup.Cgroup(self._hierarchies, f"{self._cgroup.name}/{name}")
        return Site(self._sites_directory / name, self._runtime, group)

    async def _template(self, limits: Limits) -> Path:
        async with self._template_lock:
            return await layer.template(self._templates, limits.disk_bytes)

    def _idle(self) -> dict[str, float]:
        since = {container_id: resident.container.idle_since for container_id, resident in self._residents.items()}
        return {container_id: moment for container_id, moment in since.items() if moment is not None}

    async def _make_place(self) -> None:
        """See that one more container can be awake. The caller holds `_places`. Raises `HostFull`."""
        while (
            sum(resident.container.state is not State.ASLEEP for resident in self._residents.values())
            >= self._config.max_containers
        ):
            longest = rest.longest_idle(self._idle())
            if longest is None:
                raise HostFull(f"this host has its {self._config.max_containers} containers already, and all are busy")
            try:
                await self.sleep(longest, "its place was needed")
            except (SandboxError, OSError) as error:
                raise HostFull(f"no place: {error}") from error

    async def _sleep(self, resident: Resident, cause: str) -> bool:
        async with resident.lock:
            return await resident.sleep(cause, processes=True)

    async def _wake(self, container_id: str) -> None:
        """Returns when the container is no longer asleep. Raises `ContainerUnavailable`, `HostFull`."""
        await commands.uncancelled(self._wake_one(container_id))

    async def _wake_one(self, container_id: str) -> None:
        resident = self._residents.get(container_id)
        if resident is None or self._closing:
            raise ContainerUnavailable("the container was deleted" if resident is None else "the server is stopping")
        async with resident.lock:
            if resident.container.state is not State.ASLEEP:
                return
            async with self._places:
                await self._make_place()
                resident.container.begin_wake()
            await resident.wake()

    async def _remove(self, container_id: str) -> None:
        resident = self._residents.get(container_id)
        if resident is None:
            return
        async with resident.lock:
            try:
                await resident.destroy()
            finally:
                self._residents.pop(container_id, None)

    async def _keep(self, patience: float) -> None:
        """Put to sleep what is idle, as long as the host is open."""
        while True:
            await asyncio.sleep(rest.interval(patience))
            for container_id in rest.due(self._idle(), now=time.monotonic(), patience=patience):
                try:
                    await self.sleep(container_id, f"idle for {patience:g} s")
                except ContainerNotFound:
                    continue  # deleted meanwhile
                except (SandboxError, OSError):
                    _log.exception("%s could not be put to sleep", container_id)

    async def _close(self) -> None:
        self._closing = True
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
            deadline = time.monotonic() + _STOP_SECONDS
            turn = asyncio.Semaphore(_STOPS_AT_ONCE)
            await asyncio.gather(*(self._stop(resident, turn, deadline) for resident in self._residents.values()))
            self._residents.clear()
            self._cgroup.remove()
        finally:
            if self._lock_file is not None:
                self._lock_file.close()

    async def _stop(self, resident: Resident, turn: asyncio.Semaphore, deadline: float) -> None:
        async with turn, resident.lock:
            # Without anything in the background there is nothing to keep that a boot would not bring as quickly.
            processes = resident.container.has_background and time.monotonic() < deadline
            try:
                if not await resident.sleep("the server stops", processes=processes):
                    await resident.abandon("the server was stopped while it was in use")
            except (SandboxError, OSError):
                _log.exception("%s could not be put to sleep", resident.container.id)

    async def _recover(self, ground: Ground) -> None:
        """Find what a server has left: containers are asleep then, and all else of them is removed."""
        for group in self._cgroup.children():
            group.kill()
        for directory in list(self._sites_directory.iterdir()):
            site = self._site(directory.name)
            kept = record.read(directory)
            if kept is None:
                _log.warning("removing a container that was never finished: %s", directory)
                await site.destroy()
            else:
                await site.end()
                self._residents[kept.container_id] = Resident.found(site, ground, kept, self._wake)
        await asyncio.to_thread(shutil.rmtree, self._runtime.root, ignore_errors=True)
        for made in self.directory.glob(".guest-*"):
            await asyncio.to_thread(shutil.rmtree, made)
        self._cgroup.remove()


def _name_of(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]


def _lock(directory: Path) -> IO[bytes]:
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SandboxError(f"another server is using {directory}: stop it, or take another directory") from None
    return file
