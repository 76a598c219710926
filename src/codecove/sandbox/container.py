"""A container on this machine: the calls of `host.Container`, over its guest agent."""

import asyncio
import contextlib
import errno
import logging
import os
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

from codecove.sandbox import memory
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.cgroup import Cgroup
from codecove.sandbox.commands import uncancelled
from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError
from codecove.sandbox.exchanges import ExecutionExchange, FileExchange, ListExchange, VictimExchange, chunks
from codecove.sandbox.frames import (
    CHUNK,
    Answer,
    Exit,
    Program,
    Request,
    decode_number,
    decode_status,
    encode_count,
    encode_list,
    encode_path,
    encode_program,
    encode_string,
)
from codecove.sandbox.host import WORKING_DIRECTORY, Execution, FileStat, Listing
from codecove.sandbox.lifecycle import Lifecycle, State, Transition
from codecove.sandbox.limits import Limits
from codecove.sandbox.status import file_stat

_log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
"""An agent that has not killed an execution's processes by then has lost control: the container goes."""
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
        self._lifecycle = Lifecycle(begin)
        self._idle_since = begin.at
        self._attendant: asyncio.Task[None] | None = None

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
        program = Program(
            argv=argv,
            environment={**BASE_ENVIRONMENT, **env},
            cwd=cwd,
            has_stdin=bool(stdin),
            head_limit=head,
            tail_limit=tail,
            address_space=memory.address_space(self._limits.memory_bytes),
            processes=self._limits.processes,
        )
        payload = encode_program(program)
        async with self._turn, self._awake("execution"):
            began = time.monotonic()
            exchange = ExecutionExchange(head, tail)
            request = self._agent.send(Request.SPAWN, payload, exchange)
            timed_out = False
            try:
                async with asyncio.timeout(timeout):
                    await self._feed(request, exchange, stdin)
                    end = await asyncio.shield(exchange.result)
            except TimeoutError:
                timed_out = True
                end = await self._stop(request, exchange)
            except asyncio.CancelledError:
                await uncancelled(self._stop(request, exchange))
                raise
            self._background = end.background
            return Execution(
                stdout=exchange.stdout(end),
                stderr=exchange.stderr(end),
                return_code=_return_code(end.wait_status),
                timed_out=timed_out,
                out_of_memory=end.out_of_memory,
                seconds=time.monotonic() - began,
            )

    async def stat(self, path: str, *, follow: bool = True) -> FileStat:
        """See `host.Container`."""
        with _path_errors(path):
            payload = encode_path(path, follow=follow)
        async with self._awake("stat"):
            answer = await self._agent.ask(Request.STAT, payload, FileExchange(path, Answer.STATUS))
        return file_stat(path.rstrip("/").rpartition("/")[2] or "/", decode_status(answer))

    async def list_directory(self, path: str, *, limit: int) -> Listing:
        """See `host.Container`."""
        with _path_errors(path):
            payload = encode_list(path, limit)
        async with self._awake("list"):
            entries, truncated = await self._agent.ask(Request.LIST, payload, ListExchange(path, limit))
        return Listing([file_stat(name, status) for name, status in entries], truncated)

    async def read_file(self, path: str, *, limit: int) -> bytes:
        """See `host.Container`."""
        data = bytearray()
        async with contextlib.aclosing(self._read(path, follow=True, limit=limit)) as parts:
            async for part in parts:
                data += part
        return bytes(data)

    def stream_file(self, path: str, *, follow: bool = True) -> AsyncIterator[bytes]:
        """See `host.Container`."""
        return self._read(path, follow=follow, limit=None)

    async def write_file(self, path: str, data: AsyncIterable[bytes] | bytes) -> None:
        """See `host.Container`."""
        with _path_errors(path):
            payload = encode_string(path)
        async with self._awake("write"):
            opened = FileExchange(path, Answer.OPENED)
            file = self._agent.send(Request.OPEN_WRITE, payload, opened)
            closed = FileExchange(path, Answer.DONE)
            try:
                await opened.result
                async for part in _parts(data):
                    for chunk in chunks(part):
                        written = FileExchange(path, Answer.DONE)
                        await self._agent.ask(Request.WRITE, chunk, written, request_id=file)
            finally:
                self._agent.send(Request.CLOSE, b"", closed, request_id=file)
            await closed.result

    async def make_directory(self, path: str) -> None:
        """See `host.Container`."""
        with _path_errors(path):
            payload = encode_string(path)
        async with self._awake("make directory"):
            await self._agent.ask(Request.MAKE_DIRECTORY, payload, FileExchange(path, Answer.DONE))

    def begin_wake(self) -> None:
        """From asleep to waking."""
        self._go(State.WAKING, "a call")

    def awake(self, connection: AgentConnection, cause: str) -> None:
        """It has booted or woken: calls go to this agent from now on."""
        self._connection = connection
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
        with _path_errors(path):
            payload = encode_path(path, follow=follow)
        async with self._awake("read"):
            opened = FileExchange(path, Answer.OPENED)
            file = self._agent.send(Request.OPEN_READ, payload, opened)
            try:
                left = decode_number(await opened.result, "<Q")
                if limit is not None:
                    # A file in /proc has content, and 0 as its size.
                    left = min(left or limit, limit)
                while left > 0:
                    count = min(left, CHUNK)
                    answer = FileExchange(path, Answer.DATA)
                    data = await self._agent.ask(Request.READ, encode_count(count), answer, request_id=file)
                    if not data:
                        break
                    left -= len(data)
                    yield data[:count]
            finally:
                closed = FileExchange(path, Answer.DONE)
                self._agent.send(Request.CLOSE, b"", closed, request_id=file)

    async def _feed(self, request: int, exchange: ExecutionExchange, stdin: bytes) -> None:
        if not stdin:
            return
        for chunk in [*chunks(stdin), b""]:
            if exchange.finished:
                return
            taken = exchange.expect_input_taken()
            self._agent.send_more(Request.STDIN, request, chunk)
            await taken

    async def _stop(self, request: int, exchange: ExecutionExchange) -> Exit:
        """Kill all that the execution has started."""
        self._agent.send_more(Request.KILL, request)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                return await asyncio.shield(exchange.result)
        except TimeoutError:
            self._agent.end(f"the guest agent did not stop an execution within {_STOP_SECONDS:.0f} s")
            raise self._agent.failure() from None

    @contextlib.asynccontextmanager
    async def _awake(self, cause: str) -> AsyncIterator[None]:
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
            yield
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
                if self._freeze_if_idle():
                    return
        except ContainerUnavailable as error:
            _log.info("%s: %s", self._id, error)
        except OSError as error:
            self._agent.end(f"the control group is gone: {error}")

    async def _watch_memory(self) -> None:
        in_use = self._cgroup.memory_in_use()
        if not self._guard.must_kill(in_use, time.monotonic()):
            return
        pid = await self._agent.ask(Request.KILL_BIGGEST, b"", VictimExchange())
        _log.info("%s: %d MiB in use, killed process %d inside", self._id, in_use >> 20, pid)

    def _freeze_if_idle(self) -> bool:
        patience = FREEZE_BACKGROUND_SECONDS if self._background else FREEZE_SECONDS
        last = self._lifecycle.last
        if last.state is not State.IDLE or time.monotonic() - last.at < patience:
            return False
        self._cgroup.freeze()
        self._go(State.FROZEN, "idle")
        return True


@contextlib.contextmanager
def _path_errors(path: str) -> Iterator[None]:
    """A path that can't be sent is one that can't exist."""
    try:
        yield
    except ValueError:
        raise GuestFileError(errno.EINVAL, path) from None


async def _parts(data: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    async for part in data:
        yield part


def _return_code(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
