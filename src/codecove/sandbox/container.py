"""A container on this machine: the calls of `host.Container`, over its guest agent."""

import asyncio
import contextlib
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)

from codecove.sandbox import guestfiles, memory
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.cgroup import Cgroup
from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.errors import ContainerUnavailable
from codecove.sandbox.exchanges import ExecutionExchange, VictimExchange
from codecove.sandbox.executing import execute, return_code
from codecove.sandbox.frames import Program, Request, encode_spawn
from codecove.sandbox.host import WORKING_DIRECTORY, Execution, FileStat, Listing
from codecove.sandbox.lifecycle import Lifecycle, State, Transition
from codecove.sandbox.limits import Limits
from codecove.sandbox.metering import Meter
from codecove.sandbox.terminal import LocalTerminal, TerminalExchange, opened
from codecove.sandbox.warm import Warmth, suits

_log = logging.getLogger(__name__)

FREEZE_SECONDS = 1.0
"""Idle time after which a container is frozen."""
FREEZE_BACKGROUND_SECONDS = 300.0
"""The same when its last execution has left something running."""


class LocalContainer:
    """Implements `host.Container`. Made by `LocalHost`.

    The object stays the same while the container sleeps. A call on a sleeping one has it woken by `wake`, which
    returns when the container is awake, and raises `ContainerUnavailable` or `HostFull`.
    """

    def __init__(
        self,
        container_id: str,
        limits: Limits,
        cgroup: Cgroup,
        *,
        begin: Transition,
        wake: Callable[[str], Awaitable[None]],
    ) -> None:
        self._id = container_id
        self._limits = limits
        self._connection: AgentConnection | None = None
        self._cgroup = cgroup
        self._wake = wake
        self._turn = asyncio.Lock()
        self._users = 0
        self._background = False
        self._guard = memory.MemoryGuard(limits.memory_bytes)
        self._meter = Meter(cgroup)
        self._lifecycle = Lifecycle(begin)
        self._idle_since = begin.at
        self._attendant: asyncio.Task[None] | None = None
        self._warmth: Warmth | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self._id

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._lifecycle.state

    @property
    def last(self) -> Transition:
        """How it got there: after a wake, what came back with it."""
        return self._lifecycle.last

    @property
    def idle_since(self) -> float | None:
        """Since when (monotonic clock, seconds) nothing has been asked of it. None unless it is awake and idle."""
        return self._idle_since if self.state in (State.IDLE, State.FROZEN) else None

    @property
    def has_background(self) -> bool:
        """Whether its last execution has left something running."""
        return self._background

    def host_processes(self) -> list[int]:
        """The pids, on the host, of the sandbox and of what runs in it."""
        return self._cgroup.processes()

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout: float,
        cwd: str = WORKING_DIRECTORY,
        stdin: bytes = b"",
    ) -> Execution:
        """See `host.Container`. Raises `ValueError` for a NUL in `argv`, and for more than 1 MiB of arguments."""
        tail = self._limits.output_bytes // 2
        head = self._limits.output_bytes - tail
        program = self._program(argv, env, cwd)
        warm = suits(argv, env, stdin)
        payload = encode_spawn(program, head_limit=head, tail_limit=tail, has_stdin=bool(stdin), warm=warm)
        async with self._turn, self._awake("execution") as agent:
            began = time.monotonic()
            with self._group_errors(agent):
                self._meter.begin()
            exchange = ExecutionExchange(head, tail)
            end, timed_out = await execute(agent, payload, exchange, timeout=timeout, stdin=stdin)
            self._background = end.background
            if warm and self._warmth is not None:
                self._warmth.used(cold=end.cold)
            with self._group_errors(agent):
                usage = self._meter.end()
            return Execution(
                stdout=exchange.stdout(end),
                stderr=exchange.stderr(end),
                return_code=return_code(end.wait_status),
                timed_out=timed_out,
                out_of_memory=end.out_of_memory,
                seconds=time.monotonic() - began,
                cpu_seconds=usage.cpu_seconds,
                peak_memory_bytes=usage.peak_memory_bytes,
            )

    @contextlib.asynccontextmanager
    async def terminal(
        self, argv: Sequence[str], *, env: Mapping[str, str], rows: int, columns: int
    ) -> AsyncIterator[LocalTerminal]:
        """See `host.Container`."""
        program = self._program(argv, env, WORKING_DIRECTORY)
        async with self._awake("terminal") as agent:
            exchange = TerminalExchange()
            try:
                async with opened(agent, program, exchange, rows=rows, columns=columns) as terminal:
                    yield terminal
            finally:
                self._background = exchange.left_background

    def _program(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Program:
        return Program(
            argv=argv,
            environment={**BASE_ENVIRONMENT, **env},
            cwd=cwd,
            address_space=memory.address_space(self._limits.memory_bytes),
            processes=self._limits.processes,
        )

    async def stat(self, path: str, *, follow: bool = True) -> FileStat:
        """See `host.Container`."""
        async with self._awake("stat") as agent:
            return await guestfiles.stat(agent, path, follow=follow)

    async def list_directory(self, path: str, *, limit: int) -> Listing:
        """See `host.Container`."""
        async with self._awake("list") as agent:
            return await guestfiles.list_directory(agent, path, limit=limit)

    async def read_file(self, path: str, *, limit: int) -> bytes:
        """See `host.Container`."""
        data = bytearray()
        async with contextlib.aclosing(self._read(path, follow=True, limit=limit)) as parts:
            async for part in parts:
                data += part
        return bytes(data)

    def stream_file(self, path: str, *, follow: bool = True) -> AsyncGenerator[bytes, None]:
        """See `host.Container`."""
        return self._read(path, follow=follow, limit=None)

    async def write_file(self, path: str, data: AsyncIterable[bytes] | bytes) -> None:
        """See `host.Container`."""
        async with self._awake("write") as agent:
            await guestfiles.write(agent, path, data)

    async def make_directory(self, path: str) -> None:
        """See `host.Container`."""
        async with self._awake("make directory") as agent:
            await guestfiles.make_directory(agent, path)

    def begin_wake(self) -> None:
        """From asleep to waking."""
        self._go(State.WAKING, "a call")

    def awake(self, connection: AgentConnection, cause: str, *, warm: bool = False) -> None:
        """It has booted or woken: calls go to this agent from now on."""
        self._connection = connection
        self._warmth = Warmth(connection, on=warm)
        self._idle_since = time.monotonic()
        self._go(State.IDLE, cause)
        self._attendant = asyncio.create_task(self._attend(), name=f"attend {self._id}")
        connection.when_ended(self._on_end)

    async def begin_sleep(self, cause: str) -> AgentConnection | None:
        """From idle to sleeping: calls wait from now on. Its connection, or None if it is not idle now."""
        if self.idle_since is None:
            return None
        self._go(State.SLEEPING, cause)
        self._cgroup.thaw()
        await self._dismiss_attendant()
        return self._agent

    async def end_warm_interpreter(self) -> None:
        """Nothing of it is to be kept with the processes. Raises `ContainerUnavailable`."""
        if self._warmth is not None:
            await self._warmth.end()

    def asleep(self, cause: str) -> None:
        """All of it has ended but its files."""
        self._agent.end("the container was put to sleep")
        self._connection = None
        self._go(State.ASLEEP, cause)

    def still_asleep(self, cause: str) -> None:
        """It could not be woken."""
        self._go(State.ASLEEP, cause)

    async def close(self, state: State = State.DELETED, cause: str = "the container was deleted") -> None:
        """No more calls. What is running ends with `ContainerUnavailable`."""
        if self._lifecycle.state is not State.DELETED and self._lifecycle.state is not state:
            self._go(state, cause)
        await self._dismiss_attendant()
        if self._connection is not None:
            self._connection.end(cause)

    def _go(self, state: State, cause: str) -> None:
        self._lifecycle.go(state, cause, time.monotonic())

    async def _dismiss_attendant(self) -> None:
        if self._attendant is not None:
            self._attendant.cancel()
            await asyncio.wait([self._attendant])
        if self._warmth is not None:
            await self._warmth.stop_starting()

    @property
    def _agent(self) -> AgentConnection:
        if self._connection is None:
            raise self._over()
        return self._connection

    def _over(self) -> ContainerUnavailable:
        if self._connection is not None:
            return self._connection.failure()
        return ContainerUnavailable(f"the container is {self.state}: {self._lifecycle.last.cause}")

    def _on_end(self) -> None:
        if self.state is State.SLEEPING:
            return  # its end is what was asked for, and what it means is for him to say who asked
        if not self._lifecycle.is_over:
            error = self._agent.failure()
            _log.warning("%s failed: %s %s", self._id, error, error.detail)
            self._go(State.FAILED, str(error))
        self._cgroup.kill()

    async def _read(self, path: str, *, follow: bool, limit: int | None) -> AsyncGenerator[bytes, None]:
        async with (
            self._awake("read") as agent,
            contextlib.aclosing(guestfiles.read(agent, path, follow=follow, limit=limit)) as parts,
        ):
            async for part in parts:
                yield part

    @contextlib.contextmanager
    def _group_errors(self, agent: AgentConnection) -> Iterator[None]:
        """Without its control group nothing holds a container to its limits."""
        try:
            yield
        except OSError as error:
            agent.end(f"the control group is gone: {error}")
            raise agent.failure() from error

    @contextlib.asynccontextmanager
    async def _awake(self, cause: str) -> AsyncIterator[AgentConnection]:
        """Thawed and busy as long as this is held by anyone."""
        while self.state in (State.SLEEPING, State.ASLEEP, State.WAKING):
            await self._wake(self._id)
        if self._lifecycle.is_over:
            raise self._over()
        if self._lifecycle.state is State.FROZEN:
            self._cgroup.thaw()
            self._attendant = asyncio.create_task(self._attend(), name=f"attend {self._id}")
        if self._users == 0:
            self._go(State.BUSY, cause)
        self._users += 1
        try:
            yield self._agent
        finally:
            self._users -= 1
            if self._users == 0 and not self._lifecycle.is_over:
                self._idle_since = time.monotonic()
                self._go(State.IDLE, f"end of {cause}")

    async def _attend(self) -> None:
        """While it is awake: see that it stays within its memory, and freeze it when it has been idle for a while."""
        try:
            while not self._lifecycle.is_over:
                await asyncio.sleep(memory.INTERVAL)
                await self._watch_memory()
                if self._is_due_to_freeze and self._warmth is not None:
                    await self._warmth.give_up_unused()
                if self._is_due_to_freeze:
                    self._cgroup.freeze()
                    self._go(State.FROZEN, "idle")
                    return
        except ContainerUnavailable as error:
            _log.info("%s: %s", self._id, error)

    async def _watch_memory(self) -> None:
        with self._group_errors(self._agent):
            in_use = self._meter.look()
        if not self._guard.must_kill(in_use, time.monotonic()):
            return
        pid = await self._agent.ask(Request.KILL_BIGGEST, b"", VictimExchange())
        _log.info("%s: %d MiB in use, killed process %d inside", self._id, in_use >> 20, pid)

    @property
    def _is_due_to_freeze(self) -> bool:
        if self._warmth is not None and self._warmth.is_starting:
            return False
        patience = FREEZE_BACKGROUND_SECONDS if self._background else FREEZE_SECONDS
        last = self._lifecycle.last
        return last.state is State.IDLE and time.monotonic() - last.at >= patience
