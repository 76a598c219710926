"""One container of this machine through its life: booted, put to sleep, woken, deleted.

Asleep it has a disk image, a record and, if the runtime can, a checkpoint of its processes. The three are used with
care for their order: a checkpoint counts from the moment that the record names it, which is when everything else of
the container has ended, and no longer counts from before anything runs on the disk again. So whenever the server is
killed, what is found is a checkpoint that fits its disk, or a disk alone.
"""

import asyncio
import errno
import hashlib
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from codecove.sandbox import layer, record
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerLost, ContainerUnavailable, HostFull, SandboxError
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.lifecycle import State
from codecove.sandbox.observing import Observer
from codecove.sandbox.record import Checkpoint, Record
from codecove.sandbox.runtime import Runtime
from codecove.sandbox.site import Site

_log = logging.getLogger(__name__)

DISK_RESERVE_BYTES = 2**30
"""No container is made, and no checkpoint, when the host's disk has less left."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all containers of a host stand on."""

    rootfs: Path
    built: Built
    runtime: Runtime

    @property
    def identity(self) -> str:
        """A checkpoint can be restored on the ground that it was made on."""
        parts = (self.runtime.version, str(self.rootfs), self.built.directory.name)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Resident:
    """A container, its site and its record. `lock` is held by whoever changes what it is: one at a time."""

    def __init__(self, site: Site, ground: Ground, container: LocalContainer, kept: Record, observer: Observer) -> None:
        self._site = site
        self._ground = ground
        self.container = container
        self._record = kept
        self._observer = observer
        self.lock = asyncio.Lock()
        self.waking = asyncio.Lock()
        """Held by the one call that has it woken. The others find it awake then."""

    async def boot(self, disk: Path, warm: Path | None = None) -> bool:
        """Make its disk and start it there, from the template `warm` if there is one. The caller holds `lock`.

        False if it could not be started from that. Raises `ContainerUnavailable`, `CommandFailed`, `OSError`; then and
        when cancelled `destroy` must follow.
        """
        began = time.monotonic()
        await self._site.create(disk)
        connection = None if warm is None else await self._start_from(warm)
        restored = connection is not None
        if connection is None:
            connection = await self._start()
        self.container.awake(connection, "restored from a template" if restored else "booted", warm=restored)
        self._observer.took("boot", time.monotonic() - began)
        return restored or warm is None

    async def adopt(self, container_id: str) -> None:
        """Give it its id, after it has booted: from now on a restart of the server finds it.

        The caller holds `lock`. Raises `OSError`.
        """
        self.container.adopt(container_id)
        # Not waiting for the disk: a machine that fails now takes with it what else was just written there.
        await self._write(replace(self._record, container_id=container_id), sync=False)

    async def sleep(self, cause: str, *, processes: bool) -> bool:
        """End all of it but its files, and if `processes`, keep those too if that is possible.

        False if it is not idle now. The caller holds `lock` and sees it through. Raises `SandboxError`, `OSError` when
        something of it stays: then it has crashed.
        """
        connection = await self.container.begin_sleep(cause)
        if connection is None:
            return False
        began = time.monotonic()
        try:
            kept = replace(self._record, checkpoint=None, without="there was no time to keep its processes")
            if processes:
                kept = await self._checkpoint(connection)
            await self._site.end()
        except (SandboxError, OSError) as error:
            await self.container.crashed(f"it could not be put to sleep: {error}")
            raise
        await self._write_asleep(kept)
        how = f"with its files only: {self._record.without}" if self._record.without else "with its processes"
        self.container.asleep(f"{cause}; {how}")
        self._observer.took("sleep", time.monotonic() - began)
        _log.info("%s sleeps (%s), %s", self.container.id, cause, how)
        return True

    async def wake(self) -> None:
        """Mount its disk and let it run on, with its processes if they were kept and can be restored.

        The caller holds `lock` and sees it through; it is asleep. Raises `ContainerUnavailable`, `HostFull`: then it is
        asleep as before, with its files. `ContainerLost`: it has failed.
        """
        began = time.monotonic()
        background = self._record.checkpoint is not None and self._record.checkpoint.background
        self.container.begin_wake()
        try:
            connection, missing = await self._restore()
            if connection is None:
                connection = await self._start()
        except ContainerLost as error:
            await self.container.close(State.FAILED, str(error))
            await self._site.end()
            raise
        except (SandboxError, OSError) as error:
            await self._back_to_sleep(error)
            raise failure_of(error, "a sleeping container could not be woken") from error
        cause = f"woke with its files only: {missing}" if missing else "woke with its processes"
        self.container.awake(connection, cause, background=background and not missing)
        self._observer.took("wake", time.monotonic() - began)
        _log.info("%s %s, in %.0f ms", self.container.id, cause, (time.monotonic() - began) * 1000)

    async def recover(self) -> None:
        """After a crash: remove what is left of it but its files. Then it is asleep.

        The caller holds `lock` and sees it through. Raises `SandboxError`, `OSError` when something stays.
        """
        if self.container.state is not State.CRASHED:
            return
        cause = self.container.last.cause
        await self.container.crashed(cause)
        await self._site.end()
        without = f"its sandbox had ended: {cause}"
        await self._write_asleep(
            replace(self._record, checkpoint=None, without=without, last_words=self.container.last_words)
        )
        self.container.asleep(f"only its files are kept: {cause}")

    async def abandon(self, cause: str) -> None:
        """End all of it but its files, whatever it is doing. The caller holds `lock`. Raises `SandboxError`, `OSError`.

        What is running there fails. One that sleeps is left as it is.
        """
        if self.container.state not in (State.ASLEEP, State.FAILED):
            await self.container.crashed(cause)
            await self.recover()

    async def destroy(self) -> None:
        """End it and remove all it has. Idempotent. Raises `SandboxError`, `OSError` when something can't be."""
        await self.container.close()
        await self._site.destroy()

    async def _start(self) -> AgentConnection:
        """Start it on its disk as a fresh sandbox, with none of its processes."""
        return await self._site.boot(self.container.limits, rootfs=self._ground.rootfs, built=self._ground.built)

    async def _start_from(self, template: Path) -> AgentConnection | None:
        limits, ground = self.container.limits, self._ground
        try:
            return await self._site.restore(template, limits, rootfs=ground.rootfs, built=ground.built)
        except (SandboxError, OSError) as error:
            _log.warning("%s could not be restored from a template: %s", self.container.id, error)
            await self._site.end()
            return None

    async def _back_to_sleep(self, error: Exception) -> None:
        cause = f"it could not be woken: {error}"
        try:
            await self._site.end()
        except (SandboxError, OSError):
            await self.container.crashed(cause)
            raise
        if self._record.checkpoint is None:
            await self._write_asleep(replace(self._record, without=cause))
        self.container.asleep(cause)

    async def _checkpoint(self, connection: AgentConnection) -> Record:
        """What to record of its processes. They have ended then, or are of no more use."""
        try:
            without = await self._why_not(connection)
            if without is None:
                digest = await self._site.checkpoint()
                checkpoint = Checkpoint(self._ground.identity, digest, background=self.container.has_background)
                return replace(self._record, checkpoint=checkpoint, without="")
        except (SandboxError, OSError) as error:
            without = f"they could not be kept: {error}"
            _log.warning("%s: %s", self.container.id, without)
        await self._site.drop_checkpoint()
        return replace(self._record, checkpoint=None, without=without)

    async def _why_not(self, connection: AgentConnection) -> str | None:
        if not self._ground.runtime.checkpoints:
            return f"{self._ground.runtime.name} can't keep processes"
        if layer.free_bytes(self._site.directory) < DISK_RESERVE_BYTES + self._site.cgroup.memory_in_use():
            return "the host's disk had no room for its processes"
        await self.container.end_warm_interpreter()
        return None if await connection.is_quiet() else "a request was still on its way"

    async def _restore(self) -> tuple[AgentConnection | None, str]:
        """The agent of the restored processes; or None, and why they can't be."""
        checkpoint = self._record.checkpoint
        missing = self._record.without if checkpoint is None else await self._unusable(checkpoint)
        connection = None
        if missing:
            await self._site.drop_checkpoint()
        # From here on the disk goes on: the checkpoint must not be taken for one that fits.
        await self._write(replace(self._record, checkpoint=None, without=record.UNSLEPT, last_words=""))
        if not missing:
            try:
                connection = await self._site.restore(
                    self._site.checkpoint_directory,
                    self._record.limits,
                    rootfs=self._ground.rootfs,
                    built=self._ground.built,
                )
            except ContainerLost:
                raise
            except (SandboxError, OSError) as error:
                detail = error.detail if isinstance(error, ContainerUnavailable) else ""
                _log.warning("%s: its processes could not be restored: %s %s", self.container.id, error, detail)
                missing = f"its processes could not be restored: {error}"
                await self._site.end()
        await self._site.drop_checkpoint()
        return connection, missing

    async def _unusable(self, checkpoint: Checkpoint) -> str:
        if checkpoint.identity != self._ground.identity:
            return "the runtime, the image or the server has changed since"
        try:
            found = await asyncio.to_thread(record.digest, self._site.checkpoint_directory)
        except OSError as error:
            return f"the checkpoint can't be read: {error.strerror}"
        return "" if found == checkpoint.digest else "the checkpoint is damaged"

    async def _write_asleep(self, kept: Record) -> None:
        """What it left when it ended. If even that can't be written, it has what the record said while it was awake."""
        try:
            await self._write(kept)
        except OSError as error:
            _log.warning("%s: its record could not be written: %s", self.container.id, error)
            self._record = replace(kept, checkpoint=None, without=f"its record could not be written: {error.strerror}")
            await self._site.drop_checkpoint()

    async def _write(self, kept: Record, *, sync: bool = True) -> None:
        await asyncio.to_thread(record.write, self._site.directory, kept, sync=sync)
        self._record = kept


def failure_of(error: Exception, message: str) -> SandboxError:
    """What to raise for `error` from a start: no room if the host's disk is full, else that it is unavailable."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostFull(f"the host's disk is full: {error}")
    if isinstance(error, ContainerUnavailable):
        return ContainerUnavailable(f"{message}: {error}", detail=error.detail)
    return ContainerUnavailable(message, detail=str(error))
