"""All that one container has on this machine: its directory, control group, disk and processes."""

import asyncio
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from codecove.sandbox import bundle, commands, memory, record, spawn, warm
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import ContainerLost, SandboxError
from codecove.sandbox.group import Group
from codecove.sandbox.guestbuild import Built
from codecove.sandbox.limits import Limits
from codecove.sandbox.means import Disks
from codecove.sandbox.processors import may_bind
from codecove.sandbox.runtime import Runtime

_END_SECONDS = 10.0
_CHECKPOINT_SECONDS = 30.0
_DETAIL_BYTES = 4000
_TIMER_SLACK_MICROSECONDS = 500
"""Of gVisor's own threads, some of which wake up thousands of times a second: docs/decisions/sandbox-latency.md."""
_HOST_TASKS_PER_PROCESS = 4
"""Of gVisor, about two for each process inside; and room for the sandbox itself."""
_OWN_TASKS = 256


class Site:
    """Makes it and unmakes it. `end` and `destroy` work on whatever is there, also what a crashed server has left."""

    def __init__(self, directory: Path, runtime: Runtime, cgroup: Group, disks: Disks, *, boot_timeout: float) -> None:
        self.directory = directory
        self._boot_timeout = boot_timeout
        self._runtime = runtime
        self.cgroup = cgroup
        """Its processes."""
        self._disks = disks
        self._reaper: spawn.Child | None = None

    @property
    def checkpoint_directory(self) -> Path:
        """Where the memory of its processes is while it sleeps."""
        return self.directory / record.CHECKPOINT

    @property
    def _runtime_id(self) -> str:
        # The last part of the group's name. All have one length, as runsc takes an id's beginning for the id.
        return self.cgroup.name.rpartition("/")[2]

    async def create(self, template: Path) -> None:
        """Make the directory, with an empty disk in it. Raises `CommandFailed`, `OSError`."""
        self.directory.mkdir(mode=0o711)
        await self._disks.make(self.directory, template)

    async def boot(self, limits: Limits, *, rootfs: Path, built: Built) -> AgentConnection:
        """Start it on its disk. Returns when the guest agent has said hello.

        Raises `ContainerLost`, `ContainerUnavailable`, `CommandFailed`, `OSError`; then, and when cancelled, `end` or
        `destroy` must follow.
        """
        command = self._runtime.run_command(self._runtime_id, self.directory)
        return await self._start(command, limits, rootfs=rootfs, built=built, restored=False)

    async def restore(self, checkpoint: Path, limits: Limits, *, rootfs: Path, built: Built) -> AgentConnection:
        """Let the processes of a checkpoint run on, on a disk as it was then. Otherwise like `boot`."""
        command = self._runtime.restore_command(self._runtime_id, self.directory, checkpoint)
        return await self._start(command, limits, rootfs=rootfs, built=built, restored=True)

    async def checkpoint(self) -> str:
        """Write its processes to the disk, which ends them. Returns what was written as a digest.

        Raises `CommandFailed`, `OSError`, `TimeoutError`. Its processes are lost then, or in no state to go on.
        """
        self.checkpoint_directory.mkdir(mode=0o700)
        async with asyncio.timeout(_CHECKPOINT_SECONDS):
            await self._runtime.checkpoint(self._runtime_id, self.checkpoint_directory)
        return await asyncio.to_thread(record.digest, self.checkpoint_directory)

    async def drop_checkpoint(self) -> None:
        """Delete it, if there is one. Raises `OSError`."""
        if self.checkpoint_directory.exists():
            await asyncio.to_thread(shutil.rmtree, self.checkpoint_directory)

    async def end(self) -> None:
        """End its processes and unmount its disk: only files are left. Idempotent.

        Raises `SandboxError`, `OSError` when that fails, `TimeoutError` when a process stays.
        """
        self.cgroup.kill()
        await self._see_it_end()
        await self._runtime.delete(self._runtime_id)
        await asyncio.to_thread(self._disks.detach, self.directory)
        if not self.cgroup.remove():
            raise SandboxError(f"processes are still in {self.cgroup.name}")

    async def destroy(self) -> None:
        """End it and delete its files. Idempotent. Raises what `end` raises."""
        await self.end()
        if self.directory.exists():
            await asyncio.to_thread(shutil.rmtree, self.directory)

    async def _start(
        self, command: Sequence[str], limits: Limits, *, rootfs: Path, built: Built, restored: bool
    ) -> AgentConnection:
        if not self._disks.is_sound(self.directory):
            raise ContainerLost("the container's disk is gone or damaged")
        # The documented limit while it boots: that is the size of memory it will report inside.
        processes = limits.processes * _HOST_TASKS_PER_PROCESS + _OWN_TASKS
        self.cgroup.create(memory_bytes=limits.memory_bytes, cpus=limits.cpus, processes=processes)
        host_kernel = self._runtime.host_kernel
        await self._disks.attach(self.directory, rootfs=rootfs, built=built, shifted=host_kernel)
        config = bundle.config(cgroup=self.cgroup.name, host_kernel=host_kernel, open_files=limits.open_files)
        (self.directory / "config.json").write_text(json.dumps(config))
        # Where gVisor starts on one processor it does not spin while it waits: docs/decisions/sandbox-latency.md.
        cpus = 0 if host_kernel or not may_bind() else math.ceil(limits.cpus)
        slack = 0 if host_kernel else _TIMER_SLACK_MICROSECONDS
        connection = await self._connect([built.reaper, str(cpus), str(slack)], command, restored=restored)
        if not (restored or host_kernel):  # where a shell starts in a millisecond, none need wait
            warm.keep_shell(connection)
        try:
            async with asyncio.timeout(self._boot_timeout):
                await connection.ready()
        except TimeoutError:
            connection.end(f"the sandbox did not boot within {self._boot_timeout:g} s")
            raise connection.failure() from None
        except asyncio.CancelledError:
            connection.end("the start was cancelled")
            raise
        self.cgroup.limit_memory(limits.memory_bytes + memory.HEADROOM_BYTES)
        return connection

    async def _connect(
        self, reaper: Sequence[Path | str], command: Sequence[str], *, restored: bool
    ) -> AgentConnection:
        agent_stdin, to_agent = os.pipe()
        from_agent, agent_stdout = os.pipe()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            self._reaper = await spawn.start(
                [*map(str, [*reaper, *self.cgroup.entrances()]), "--", *command],
                cwd=self.directory,
                env=commands.ENVIRONMENT,
                stdin=agent_stdin,
                stdout=agent_stdout,
                stderr=log,
            )
        except BaseException:
            os.close(to_agent)
            os.close(from_agent)
            raise
        finally:
            for fd in (agent_stdin, agent_stdout, log):
                os.close(fd)
        return AgentConnection(from_agent, to_agent, detail=self._last_lines, restored=restored)

    @property
    def _log(self) -> Path:
        return self.directory / record.LOG

    def _last_lines(self) -> str:
        try:
            return self._log.read_bytes()[-_DETAIL_BYTES:].decode(errors="replace").strip()
        except OSError:
            return ""

    async def _see_it_end(self) -> None:
        """Wait until no process is left."""
        async with asyncio.timeout(_END_SECONDS):
            while self.cgroup.processes():
                await asyncio.sleep(0.002)
                self.cgroup.kill()
            if self._reaper is not None:
                await self._reaper.wait()
