"""What a host has on its machine, beside its containers: a directory of its own, a control group, the runtime."""

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from codecove.sandbox import cgroup, guestbuild, layer, means, memory, record
from codecove.sandbox.capacity import Capacity, of_machine
from codecove.sandbox.config import HostConfig
from codecove.sandbox.errors import ContainerUnavailable, SandboxError
from codecove.sandbox.grace import GracePeriods
from codecove.sandbox.limits import Limits
from codecove.sandbox.place import Place
from codecove.sandbox.processors import Processors, Seat, may_bind
from codecove.sandbox.record import Record
from codecove.sandbox.resident import DISK_RESERVE_BYTES, Ground
from codecove.sandbox.runtime import Runtime
from codecove.sandbox.site import Site

_log = logging.getLogger(__name__)

_MEMINFO = Path("/proc/meminfo")


class Premises:
    """Opened once, and then closed once."""

    def __init__(self, config: HostConfig) -> None:
        """Raises `SandboxError` when the runtime is unknown or not installed."""
        self._config = config
        self.directory = config.directory.absolute()
        self._means = means.of_host(self.directory, self._sites)
        options = self._means.runsc_options
        self._runtime = Runtime(config.runtime, self.directory / "runtime", cgroup.detect(), options=options)
        self.groups = self._means.groups
        """Of the containers' processes."""
        self._lock_file: IO[bytes] | None = None
        self._grace = GracePeriods()
        self._ground: Ground | None = None
        self._image: tuple[int, int] | None = None
        self._template_lock = asyncio.Lock()
        # With the host's kernel nobody has to be woken for a system call.
        bound = may_bind() and not self._runtime.host_kernel
        self._processors = Processors(os.sched_getaffinity(0) if bound else set())

    async def open(self) -> None:
        """Raises `SandboxError` when the directory is in use, or something needed is missing."""
        if os.geteuid() != 0:
            raise SandboxError("containers need root, of a user namespace at least: `cove serve` makes itself one")
        if self._runtime.host_kernel and not self._means.host_kernel:
            raise SandboxError(f"without root there is no {self._runtime.name}, only runsc (COVE_RUNTIME)")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(self.directory)
        if self._config.expedite:
            await asyncio.to_thread(self._grace.shorten)
        rootfs = self._config.rootfs.resolve()
        await self._runtime.probe()
        programs = self._config.programs or self.directory
        built = await asyncio.to_thread(guestbuild.build, programs, rootfs)
        self._image = self.image()
        self._ground = Ground(rootfs, built, self._runtime)
        for directory in (self._sites, self.templates):
            directory.mkdir(mode=0o700, exist_ok=True)

    def close(self) -> None:
        """Let another server have the directory. Idempotent."""
        self._grace.restore()
        if self._lock_file is not None:
            self._lock_file.close()

    async def found(self) -> AsyncIterator[tuple[Site, Record]]:
        """The containers that a server has left, of which all but their files has been ended by now.

        What else it left is removed. To be exhausted before anything is started. Raises `SandboxError`, `OSError`.
        """
        for group in self.groups.existing():
            group.kill()
        for directory in list(self._sites.iterdir()):
            site = self._site(directory.name)
            kept = record.read(directory)
            if kept is None:
                _log.info("removing what was never a finished container: %s", directory)
                await site.destroy()
            else:
                await site.end()
                yield site, kept
        await asyncio.to_thread(shutil.rmtree, self._runtime.root, ignore_errors=True)
        self.groups.remove()
        self._runtime.root.mkdir(mode=0o700, exist_ok=True)

    def place(self, site: Site, limits: Limits) -> Place:
        """Where a container runs."""
        disk = self._means.disks.watch(site.directory, site.cgroup, limits)
        return Place(site.cgroup, Seat(self._processors, site.cgroup, cpus=limits.cpus), disk)

    @property
    def ground(self) -> Ground:
        """What all its containers stand on. Raises `SandboxError` when it is not open."""
        if self._ground is None:
            raise SandboxError("the host is not open: use it as an async context manager")
        return self._ground

    def new_site(self) -> Site:
        """The place of a new container. Its name is random, and says nothing."""
        return self._site(secrets.token_hex(10))

    async def template(self, limits: Limits) -> Path:
        """An empty disk of the size that the limits have. Raises `CommandFailed`, `OSError`."""
        async with self._template_lock:
            return await self._means.disks.template(self.templates, limits.disk_bytes)

    def disk_refusal(self) -> str:
        """Why there is no room for another disk. Empty if there is."""
        if layer.free_bytes(self.directory) >= DISK_RESERVE_BYTES:
            return ""
        return f"less than {DISK_RESERVE_BYTES >> 30} GiB of disk left below {self.directory}"

    def capacity(self) -> Capacity:
        """What the machine has at all."""
        return of_machine(self.directory)

    def available_memory(self) -> int:
        """Bytes of memory that the machine can still give."""
        return memory.available(_MEMINFO.read_text(), self.groups.memory_left())

    def image(self) -> tuple[int, int] | None:
        """Identifies the image. None when it is not there."""
        try:
            status = self._config.rootfs.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def check_image(self) -> None:
        """Raises `ContainerUnavailable` when the image is no longer what it was at the start."""
        if self._image is None or self.image() != self._image:
            raise ContainerUnavailable(
                f"the image at {self._config.rootfs} is gone or another one: put it back, or start the server again"
            )

    @property
    def _sites(self) -> Path:
        return self.directory / "containers"

    @property
    def templates(self) -> Path:
        """Where is kept what containers are made from."""
        return self.directory / "templates"

    def _site(self, name: str) -> Site:
        directory, group = self._sites / name, self.groups.of(name)
        return Site(directory, self._runtime, group, self._means.disks, boot_timeout=self._config.boot_timeout)


def _lock(directory: Path) -> IO[bytes]:
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SandboxError(f"another server is using {directory}: stop it, or take another directory") from None
    return file
