"""A container on this machine: the calls of `host.Container`, over its guest agent."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence

from codecove.sandbox import guestfiles, memory
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import ContainerLost, ContainerUnavailable, GuestFileError
from codecove.sandbox.exchanges import ExecutionExchange
from codecove.sandbox.executing import group_errors, program, result, see_through
from codecove.sandbox.frames import Request, encode_spawn
from codecove.sandbox.host import NOWHERE, WORKING_DIRECTORY, Execution, FileStat, Listing
from codecove.sandbox.lifecycle import Lifecycle, State, Transition
from codecove.sandbox.limits import Limits
from codecove.sandbox.memory_watch import MemoryWatch
from codecove.sandbox.metering import Meter
from codecove.sandbox.observing import Observer
from codecove.sandbox.place import Place
from codecove.sandbox.rest import Freezing
from codecove.sandbox.simple_command import Call
from codecove.sandbox.terminal import LocalTerminal, TerminalExchange, opened
from codecove.sandbox.warm import Warmth, suited

_log = logging.getLogger(__name__)

_OVER = (State.FAILED, State.DELETED)
_DOWN = (State.SLEEPING, State.ASLEEP, State.WAKING, State.CRASHED)
"""Where a call has it woken first."""


class LocalContainer:
    """Implements `host.Container`. Made by `LocalHost`.

    The object stays the same while the container sleeps. A call on a sleeping one has it woken by `wake`, which
    returns when the container is awake, and raises `ContainerUnavailable` or `HostFull`.
    """

    def __init__(
        self,
        container_id: str,
        limits: Limits,
        place: Place,
        *,
        begin: Transition,
        freezing: Freezing,
        observer: Observer,
        wake: Callable[[str], Awaitable[None]],
    ) -> None:
        self.id = container_id
        """Its id; of one that stands ready for the next who needs one, a name of its own."""
        self.limits = limits
        """What it may use."""
        self.last_words = ""
        """If its sandbox died: the last lines that the runtime wrote. For the operator."""
        self._connection: AgentConnection | None = None
        self._cgroup, self._seat, self._disk = place.group, place.seat, place.disk
        self._wake = wake
        self._freezing = freezing
        self._observer = observer
        self._turn = asyncio.Lock()
        self._in_use = asyncio.Event()
        self._holders = 0
        self._users = 0
        self._background = False
        self._meter = Meter(place.group)
        self._memory = MemoryWatch(place.group, self._meter, limits.memory_bytes)
        self._lifecycle = Lifecycle(begin, self._moved)
        self._idle_since = begin.at
        self._attendant: asyncio.Task[None] | None = None
        self._warmth: Warmth | None = None
        self._fresh = True
        """Whether nothing has been asked of it since it is awake."""

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
        """Since when (monotonic clock, seconds) nothing has been asked of it. None unless it is awake and idle.

        Neither when it is held.
        """
        return self._idle_since if self.state in (State.IDLE, State.FROZEN) and self._holders == 0 else None

    @property
    def has_background(self) -> bool:
        """Whether its last execution has left something running."""
        return self._background

    @property
    def memory_in_use(self) -> int:
        """Bytes, without cached files, at the last look: what is frozen keeps what it had then."""
        return self._meter.memory_in_use

    @property
    def uses_libraries(self) -> bool:
        """Whether a program has asked for the libraries since it is awake."""
        return self._warmth is not None and self._warmth.was_used

    def host_processes(self) -> list[int]:
        """The pids, on the host, of the sandbox and of what runs in it."""
        return self._cgroup.processes()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """See `host.Container`."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout: float,
        cwd: str = WORKING_DIRECTORY,
        stdin: bytes = b"",
        look_before: Mapping[str, int] = NOWHERE,
        look_after: Mapping[str, int] = NOWHERE,
    ) -> Execution:
        """See `host.Container`. Raises `ValueError` for a NUL in `argv`, and for more than 1 MiB of arguments."""
        await self._disk.begin()
        ends = (self.limits.output_bytes + 1) // 2, self.limits.output_bytes // 2
        call, waiting = suited(Call(argv, env, stdin), cwd)
        started = program(self.limits, call.argv, call.env, cwd, self._disk.file_size)
        payload = encode_spawn(started, ends, has_stdin=bool(call.stdin), waiting=waiting, again=self._seat.is_idle)
        async with self._turn, self._awake("execution") as agent:
            began = time.monotonic()
            with group_errors(agent):
                self._meter.begin()
                self._seat.take()
            exchange = ExecutionExchange(*ends)
            try:
                # The agent answers in order, and nobody has to wait for the lists before the program runs.
                with agent.in_one():
                    before = guestfiles.Look(agent, look_before)
                    request = agent.send(Request.SPAWN, payload, exchange)
                    after = guestfiles.Look(agent, look_after, at_end=True)
                end, timed_out = await see_through(agent, request, exchange, timeout=timeout, stdin=call.stdin)
            finally:
                self._seat.leave()
            self._background = end.background
            if waiting is not None and self._warmth is not None:
                self._warmth.used(waiting, cold=end.cold)
            with group_errors(agent):
                usage = self._meter.end()
            seconds = time.monotonic() - began
            self._observer.took("execution", seconds)
            looked = (await before.listings(), await after.listings())
            full = self._disk.was_in_the_way()
            return result(exchange, end, usage, looked, seconds=seconds, timed_out=timed_out, out_of_disk=full)

    @contextlib.asynccontextmanager
    async def terminal(
        self, argv: Sequence[str], *, env: Mapping[str, str], rows: int, columns: int
    ) -> AsyncGenerator[LocalTerminal, None]:
        """See `host.Container`."""
        await self._disk.begin()
        started = program(self.limits, argv, env, WORKING_DIRECTORY, self._disk.file_size)
        async with self._awake("terminal") as agent:
            exchange = TerminalExchange()
            try:
                async with opened(agent, started, exchange, rows=rows, columns=columns) as terminal:
                    yield terminal
            finally:
                self._background = exchange.left_background

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
        async with contextlib.aclosing(self.stream_file(path, limit=limit)) as parts:
            return b"".join([part async for part in parts])

    async def stream_file(
        self, path: str, *, follow: bool = True, limit: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See `host.Container`; and no more than `limit` bytes."""
        async with (
            self._awake("read") as agent,
            contextlib.aclosing(guestfiles.read(agent, path, follow=follow, limit=limit)) as parts,
        ):
            async for part in parts:
                yield part

    async def write_file(self, path: str, data: AsyncIterable[bytes] | bytes) -> None:
        """See `host.Container`."""
        async with self._awake("write") as agent:
            await guestfiles.write(agent, path, self._disk.checked(path, data))

    async def make_directories(self, paths: Sequence[str]) -> list[GuestFileError | None]:
        """See `host.Container`."""
        async with self._awake("make directories") as agent:
            return await guestfiles.make_directories(agent, paths)

    def adopt(self, container_id: str) -> None:
        """From now on it is this one, and its time of doing nothing begins."""
        self.id = container_id
        self._idle_since = time.monotonic()

    def begin_wake(self) -> None:
        """From asleep to waking."""
        self._go(State.WAKING, "a call")

    def awake(self, connection: AgentConnection, cause: str, *, background: bool = False, warm: bool = False) -> None:
        """It has booted or woken, perhaps with something that runs: calls go to this agent from now on."""
        self._connection = connection
        self._warmth = Warmth(connection, on=warm, is_busy=lambda: self.state is State.BUSY)
        self._users = 0
        self._background = background
        self._fresh = True
        self._idle_since = time.monotonic()
        self._go(State.IDLE, cause)
        self._attendant = asyncio.create_task(self._attend(), name=f"attend {self.id}")
        connection.when_ended(self._on_end)
        with contextlib.suppress(ContainerUnavailable), group_errors(connection):
            self._seat.settle()

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
        """All of it has ended but its files; or it could not be woken from there."""
        connection, self._connection = self._connection, None
        self._go(State.ASLEEP, cause)
        if connection is not None:
            connection.end(cause)

    async def crashed(self, cause: str) -> None:
        """All but its files is lost, and something of it may still be there."""
        if self.state not in (State.CRASHED, *_OVER):
            self._go(State.CRASHED, cause)
        await self._dismiss_attendant()
        if self._connection is not None:
            self._connection.end(cause)

    async def close(self, state: State = State.DELETED, cause: str = "the container was deleted") -> None:
        """No more calls. What is running ends with `ContainerUnavailable`."""
        if self.state is not State.DELETED and self.state is not state:
            self._go(state, cause)
        await self._dismiss_attendant()
        if self._connection is not None:
            self._connection.end(cause)

    def _go(self, state: State, cause: str) -> None:
        self._lifecycle.go(state, cause, time.monotonic())

    def _moved(self, before: State, now: Transition) -> None:
        self._seat.note(awake=now.state in (State.IDLE, State.BUSY))
        self._observer.moved(self.id, before, now)

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
        if self.state is State.FAILED:
            return ContainerLost(self.last.cause)
        if self._connection is not None:
            return self._connection.failure()
        return ContainerUnavailable(f"the container is {self.state}: {self.last.cause}")

    def _on_end(self) -> None:
        if self.state in _DOWN:
            return  # its end is what was asked for, or known
        if not self._lifecycle.is_over:
            error = self._agent.failure()
            self.last_words = error.detail
            kills = self._cgroup.memory_kills()
            cause = f"{error}; the kernel had killed {kills} of its processes for memory" if kills else str(error)
            _log.warning("%s crashed: %s; the runtime's last lines: %s", self.id, cause, error.detail or "none")
            self._go(State.CRASHED, cause)
        if self._attendant is not None:
            self._attendant.cancel()
        self._cgroup.kill()

    @contextlib.asynccontextmanager
    async def _awake(self, cause: str) -> AsyncGenerator[AgentConnection, None]:
        """Thawed and busy as long as this is held by anyone."""
        with self.held():
            await self._rouse()
        agent = self._agent
        if self._users == 0:
            self._go(State.BUSY, cause)
            self._in_use.set()
        self._users += 1
        self._fresh = False
        try:
            yield agent
        finally:
            # It may have died meanwhile, and another life of it have begun, which is nothing to do with this call.
            if self._connection is agent and self.state is State.BUSY:
                self._users -= 1
                if self._users == 0:
                    self._idle_since = time.monotonic()
                    self._in_use.clear()
                    self._go(State.IDLE, f"end of {cause}")

    async def _rouse(self) -> None:
        while self.state in _DOWN or self.state is State.FROZEN:
            if self.state in _DOWN:
                await self._wake(self.id)
            elif self._cgroup.has_been_killed():
                self._agent.end("the sandbox was killed while it was frozen")
            else:
                self._cgroup.thaw()
                self._attendant = asyncio.create_task(self._attend(), name=f"attend {self.id}")
                return
        if self._lifecycle.is_over:
            raise self._over()

    async def _attend(self) -> None:
        """While it is awake: see that it stays within its memory, and freeze it when it has been idle for a while."""
        try:
            while not self._is_due_to_freeze:
                async with self._disk.watched(self._agent):
                    await self._look_after()
            with group_errors(self._agent):
                self._cgroup.freeze()
            self._go(State.FROZEN, "idle")
        except ContainerUnavailable as error:
            _log.info("%s: %s", self.id, error)

    async def _look_after(self) -> None:
        """Until it is due to freeze."""
        while True:
            await self._pause()
            with group_errors(self._agent):
                self._seat.look()
                await self._memory.look(self._agent)
            if self._is_due_to_freeze and self._warmth is not None and not self._fresh:
                await self._warmth.give_up_unused()
            if self._is_due_to_freeze:
                return

    async def _pause(self) -> None:
        """Until it is to be looked at again: where no program runs, nothing grows."""
        if self.state is State.IDLE and self._memory.is_calm and not (self._background or self._is_starting):
            try:
                async with asyncio.timeout(self.last.at + self._patience - time.monotonic()):
                    await self._in_use.wait()
            except TimeoutError:
                return
        await asyncio.sleep(memory.INTERVAL)

    @property
    def _is_starting(self) -> bool:
        return self._warmth is not None and self._warmth.is_starting

    @property
    def _patience(self) -> float:
        return self._freezing.patience(background=self._background, crowded=self._seat.is_crowded)

    @property
    def _is_due_to_freeze(self) -> bool:
        return self.state is State.IDLE and not self._is_starting and time.monotonic() >= self.last.at + self._patience
