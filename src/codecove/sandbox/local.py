"""Containers on this machine."""

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from codecove.sandbox import cgroup, commands, guestbuild, layer
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, HostFull, SandboxError
from codecove.sandbox.limits import Limits
from codecove.sandbox.runtime import Runtime
from codecove.sandbox.site import Site

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DISK_RESERVE_BYTES = 2**30
"""No container is made when the host's disk has less left."""


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


class LocalHost:
    """Implements `host.SandboxHost`. Entering cleans what a crashed server left; leaving deletes every container."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self.directory = config.directory.absolute()
        self._hierarchies = cgroup.detect()
        self._runtime = Runtime(config.runtime, self.directory / "runtime", self._hierarchies)
        digest = hashlib.sha256(os.fsencode(self.directory.resolve())).hexdigest()
        self._cgroup = cgroup.Cgroup(self._hierarchies, f"/codecove-{digest[:12]}")
        self._containers: dict[str, LocalContainer] = {}
        self._sites: dict[str, Site] = {}
        self._lock_file: IO[bytes] | None = None
        self._built: guestbuild.Built | None = None
        self._template_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Raises `SandboxError` when the directory is in use, or something needed is missing."""
        if os.geteuid() != 0:
            raise SandboxError("containers need root: start the server as root")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(self.directory)
        try:
            await self._clean()
            for directory in (self._sites_directory, self._templates, self._runtime.root):
                directory.mkdir(mode=0o700, exist_ok=True)
            self._built = await asyncio.to_thread(guestbuild.build, self.directory, self._config.rootfs.resolve())
        except BaseException:
            self._lock_file.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await commands.uncancelled(self._close())

    async def create(self, container_id: str, limits: Limits | None = None) -> LocalContainer:
        """See `host.SandboxHost`. Raises `ValueError` for an id that is not `[A-Za-z0-9_-]`, or is taken."""
        if not _ID.fullmatch(container_id) or container_id in self._sites:
            raise ValueError(f"container id {container_id!r} is malformed or taken")
        if len(self._sites) >= self._config.max_containers:
            raise HostFull(f"this host has its {self._config.max_containers} containers already")
        if layer.free_bytes(self.directory) < _DISK_RESERVE_BYTES:
            raise HostFull(f"less than {_DISK_RESERVE_BYTES >> 30} GiB of disk left below {self.directory}")
        self._sites[container_id] = self._site(container_id)
        try:
            container = await self._boot(container_id, limits or self._config.limits)
        except BaseException as error:
            await commands.uncancelled(self._remove(container_id))
            if isinstance(error, commands.CommandFailed | OSError):
                raise ContainerUnavailable("a container could not be made", detail=str(error)) from error
            raise
        self._containers[container_id] = container
        return container

    async def get(self, container_id: str) -> LocalContainer:
        """See `host.SandboxHost`."""
        try:
            return self._containers[container_id]
        except KeyError:
            raise ContainerNotFound(container_id) from None

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

    def _site(self, container_id: str) -> Site:
        name = hashlib.sha256(container_id.encode()).hexdigest()[:20]
        group = cgroup.Cgroup(self._hierarchies, f"{self._cgroup.name}/{name}")
        return Site(self._sites_directory / container_id, self._runtime, group)

    async def _boot(self, container_id: str, limits: Limits) -> LocalContainer:
        site = self._sites[container_id]
        if self._built is None:
            raise SandboxError("the host is not open: use it as an async context manager")
        async with self._template_lock:
            template = await layer.template(self._templates, limits.disk_bytes)
        rootfs = self._config.rootfs.resolve()
        connection = await site.boot(limits, template=template, rootfs=rootfs, built=self._built)
        return LocalContainer(container_id, limits, connection, site.cgroup)

    async def _remove(self, container_id: str) -> None:
        container = self._containers.pop(container_id, None)
        if container is not None:
            await container.close()
        site = self._sites.get(container_id)
        if site is None:
            return
        try:
            await site.destroy()
        finally:
            self._sites.pop(container_id, None)

    async def _close(self) -> None:
        try:
            await asyncio.gather(*(self._remove(container_id) for container_id in list(self._sites)))
            self._cgroup.remove()
        finally:
            if self._lock_file is not None:
                self._lock_file.close()

    async def _clean(self) -> None:
        """Remove what a server that crashed has left of its containers: processes, mounts, groups, directories."""
        for group in self._cgroup.children():
            group.kill()
        for directory in list(self._sites_directory.iterdir()) if self._sites_directory.is_dir() else []:
            _log.warning("removing container %s of a server that ended without doing so", directory.name)
            await self._site(directory.name).destroy()
        await asyncio.to_thread(shutil.rmtree, self._runtime.root, ignore_errors=True)
        for made in self.directory.glob(".guest-*"):
            await asyncio.to_thread(shutil.rmtree, made)
        self._cgroup.remove()


def _lock(directory: Path) -> IO[bytes]:
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SandboxError(f"another server is using {directory}: stop it, or take another directory") from None
    return file
