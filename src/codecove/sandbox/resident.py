"""One container of this machine through its life: booted, put to sleep, woken, deleted.

Asleep it has a disk image, a record and, if the runtime can, a checkpoint of its processes. The three are used with
care for their order: a checkpoint counts from the moment that the record names it, which is when everything else of
the container has ended, and no longer counts from before anything runs on the disk again. So whenever the server is
killed, what is found is a checkpoint that fits its disk, or a disk alone.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from codecove.sandbox import layer, record
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerUnavailable, SandboxError
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.lifecycle import State, Transition
from codecove.sandbox.limits import Limits
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

    def __init__(self, site: Site, ground: Ground, container: LocalContainer, kept: Record) -> None:
        self._site = site
        self._ground = ground
        self.container = container
        self._record = kept
        self.lock = asyncio.Lock()

    @classmethod
    def new(
        cls, site: Site, ground: Ground, container_id: str, limits: Limits, wake: Callable[[str], Awaitable[None]]
    ) -> Self:
        """One that is still to be booted."""
        begin = Transition(State.CREATING, "asked for", time.monotonic())
        container = LocalContainer(container_id, limits, site.cgroup, begin=begin, wake=wake)
        return cls(site, ground, container, Record(container_id, limits))

    @classmethod
    def found(cls, site: Site, ground: Ground, kept: Record, wake: Callable[[str], Awaitable[None]]) -> Self:
        """One that a server has left; all of it but its files must have ended."""
        cause = "its processes are kept" if kept.checkpoint else f"only its files are kept: {kept.without}"
        begin = Transition(State.ASLEEP, cause, time.monotonic())
        container = LocalContainer(kept.container_id, kept.limits, site.cgroup, begin=begin, wake=wake)
        return cls(site, ground, container, kept)

    async def boot(self, template: Path) -> None:
        """Raises `ContainerUnavailable`, `CommandFailed`, `OSError`; then and when cancelled `destroy` must follow."""
        await self._site.create(template)
        connection = await self._site.boot(self._record.limits, rootfs=self._ground.rootfs, built=self._ground.built)
        try:
            await self._write(self._record)
        finally:
            self.container.awake(connection, "booted")

    async def sleep(self, cause: str, *, processes: bool) -> bool:
        """End all of it but its files, and if `processes`, keep those too if that is possible.

        False if it is not idle now. The caller holds `lock` and sees it through. Raises `SandboxError`, `OSError` when
        something of it stays: then it has failed.
        """
        connection = await self.container.begin_sleep(cause)
        if connection is None:
            return False
        try:
            kept = replace(self._record, checkpoint=None, without="there was no time to keep its processes")
            if processes:
                kept = await self._checkpoint(connection)
            await self._site.end()
            await self._write(kept)
        except (SandboxError, OSError) as error:
            await self.container.close(State.FAILED, f"it could not be put to sleep: {error}")
            raise
        self.container.asleep(cause)
        _log.info("%s sleeps (%s), %s", self.container.id, cause, kept.without or "with its processes")
        return True

    async def wake(self) -> None:
        """Mount its disk and let it run on, with its processes if they were kept and can be restored.

        The caller holds `lock` and sees it through, and has it in the state WAKING. Raises `ContainerUnavailable`:
        then it is asleep as before, with its files.
        """
        began = time.monotonic()
        try:
            connection, missing = await self._restore()
            if connection is None:
                connection = await self._site.boot(
                    self._record.limits, rootfs=self._ground.rootfs, built=self._ground.built
                )
        except (SandboxError, OSError) as error:
            await self._site.end()
            self.container.still_asleep(f"it could not be woken: {error}")
            detail = error.detail if isinstance(error, ContainerUnavailable) else str(error)
            raise ContainerUnavailable("a sleeping container could not be woken", detail=detail) from error
        cause = f"woke with its files only: {missing}" if missing else "woke with its processes"
        self.container.awake(connection, cause)
        _log.info("%s %s, in %.0f ms", self.container.id, cause, (time.monotonic() - began) * 1000)

    async def abandon(self, cause: str) -> None:
        """End all of it but its files, whatever it is doing. The caller holds `lock`. Raises `SandboxError`, `OSError`.

        What is running there fails. One that sleeps is left as it is.
        """
        if self.container.state is State.ASLEEP:
            return
        await self.container.close(State.FAILED, cause)
        await self._site.end()
        await self._write(replace(self._record, checkpoint=None, without=cause))

    async def destroy(self) -> None:
        """End it and remove all it has. Idempotent. Raises `SandboxError`, `OSError` when something can't be."""
        await self.container.close()
        await self._site.destroy()

    async def _checkpoint(self, connection: AgentConnection) -> Record:
        """What to record of its processes. They have ended then, or are of no more use."""
        try:
            without = await self._why_not(connection)
            if without is None:
                digest = await self._site.checkpoint()
                return replace(self._record, checkpoint=Checkpoint(self._ground.identity, digest), without="")
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
        if checkpoint is None:
            return None, self._record.without
        missing = await self._unusable(checkpoint)
        await self._write(replace(self._record, checkpoint=None, without="the server ended while it was awake"))
        connection = None
        if not missing:
            try:
                connection = await self._site.restore(
                    self._record.limits, rootfs=self._ground.rootfs, built=self._ground.built
                )
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

    async def _write(self, kept: Record) -> None:
        await asyncio.to_thread(record.write, self._site.directory, kept)
        self._record = kept
