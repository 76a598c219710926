"""The host end of the conversation with a container's guest agent."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from codecove.sandbox.errors import ContainerUnavailable
from codecove.sandbox.exchanges import Exchange, FileExchange, HelloExchange
from codecove.sandbox.frames import (
    PROTOCOL_VERSION,
    Answer,
    Frame,
    FrameParser,
    ProtocolError,
    Request,
    encode,
    encode_path,
)

T = TypeVar("T")

_READ_SIZE = 1 << 18
_ANSWER_SECONDS = 60.0
"""An agent that takes longer over a request that should take milliseconds counts as dead."""
_LAST_ID = 2**32 - 1


class AgentConnection:
    """Frames over a pair of pipes. Owns both file descriptors.

    Its end, for whatever reason, fails every exchange with `ContainerUnavailable`. `detail` is asked then for what an
    operator should know. An agent that has been `restored` from a checkpoint does not say hello again.
    """

    def __init__(self, read_fd: int, write_fd: int, *, detail: Callable[[], str], restored: bool = False) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._detail = detail
        self._on_end: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._parser = FrameParser()
        self._outgoing = bytearray()
        self._holding = False
        self._failure: ContainerUnavailable | None = None
        self._hello = None if restored else HelloExchange(PROTOCOL_VERSION)
        # By request id; those of one open file follow each other under one id, and so do their answers.
        self._exchanges: dict[int, deque[Exchange[Any]]] = {}
        if self._hello is not None:
            self._exchanges[0] = deque([self._hello])
        self._last_id = 0
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        self._loop.add_reader(read_fd, self._readable)

    async def ready(self) -> None:
        """Returns when the agent has said hello, or has answered. Raises `ContainerUnavailable`."""
        if self._hello is not None:
            await self._hello.result
        else:
            await self._round_trip()

    async def is_quiet(self) -> bool:
        """Whether nothing is on its way in either direction, so that the pipes may be exchanged for others.

        The agent answers in order, except for executions: after one more answer all older ones have come. Raises
        `ContainerUnavailable`.
        """
        await self._round_trip()
        return not self._exchanges and not self._outgoing

    def send(self, kind: Request, payload: bytes, exchange: Exchange[T], *, request_id: int | None = None) -> int:
        """Send a request. `exchange` gets its answers. Returns the request's id: a new one, if none is given.

        Never blocks: how much can be on its way is bounded by the exchanges, each of which waits for its answer.
        Raises `ValueError` if it is too long; then nothing has been sent, and no answer is waited for.
        """
        if request_id is None:
            self._last_id = request_id = self._last_id % _LAST_ID + 1
        if self._failure is not None:
            exchange.fail(self._failure)
        else:
            frame = encode(kind, request_id, payload)
            self._exchanges.setdefault(request_id, deque()).append(exchange)
            self._write(frame)
        return request_id

    @contextlib.contextmanager
    def in_one(self) -> Iterator[None]:
        """What is sent in the block, which awaits nothing, goes out at its end: one write, and the agent wakes once."""
        is_writing = bool(self._outgoing)
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            if not is_writing:
                self._push()

    def send_more(self, kind: Request, request_id: int, payload: bytes = b"") -> None:
        """Send a frame that belongs to a running exchange."""
        if self._failure is None:
            self._write(encode(kind, request_id, payload))

    async def ask(self, kind: Request, payload: bytes, exchange: Exchange[T], *, request_id: int | None = None) -> T:
        """Send a request and wait for its result. Raises what the exchange raises, and `ContainerUnavailable`."""
        self.send(kind, payload, exchange, request_id=request_id)
        return await self.answer(kind, exchange)

    async def answer(self, kind: Request, exchange: Exchange[T]) -> T:
        """Wait for the result of a request that was sent, and is due. Raises what `ask` raises."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await exchange.result
        except TimeoutError:
            self.end(f"the guest agent did not answer {kind.name} within {_ANSWER_SECONDS:.0f} s")
            raise self.failure() from None

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Have this called once, at the end, or now if it is over already."""
        if self._failure is not None:
            callback()
        else:
            self._on_end = callback

    def failure(self) -> ContainerUnavailable:
        """Why the connection is over."""
        return self._failure or ContainerUnavailable("the sandbox was stopped")

    @property
    def ended(self) -> bool:
        """Whether the connection is over."""
        return self._failure is not None

    def end(self, reason: str) -> None:
        """Close, and fail whatever is still waiting. Idempotent."""
        if self._failure is not None:
            return
        self._failure = ContainerUnavailable(reason, detail=self._detail())
        self._loop.remove_reader(self._read_fd)
        self._loop.remove_writer(self._write_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)
        for waiting in self._exchanges.values():
            for exchange in waiting:
                exchange.fail(self._failure)
        self._exchanges.clear()
        self._outgoing.clear()
        self._on_end()

    async def _round_trip(self) -> None:
        await self.ask(Request.STAT, encode_path("/", follow=True), FileExchange("/", Answer.STATUS))

    def _write(self, data: bytes) -> None:
        is_writing = bool(self._outgoing)
        self._outgoing += data
        if not is_writing and not self._holding:
            self._push()

    def _push(self) -> None:
        self._flush()
        if self._outgoing and self._failure is None:
            self._loop.add_writer(self._write_fd, self._flush)

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._write_fd, self._outgoing)]
        except BlockingIOError:
            return
        except OSError as error:
            self.end(f"the sandbox died: {error.strerror}")
            return
        self._loop.remove_writer(self._write_fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._read_fd, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(f"the sandbox died: {error.strerror}")
            return
        if not data:
            self.end("the sandbox died")
            return
        try:
            for frame in self._parser.feed(data):
                self._dispatch(frame)
        except ProtocolError as error:
            self.end(f"the sandbox broke the protocol: {error}")

    def _dispatch(self, frame: Frame) -> None:
        waiting = self._exchanges.get(frame.id)
        if waiting is None:
            raise ProtocolError(f"{frame.type.name} for a request that was not made")
        waiting[0].receive(frame)
        if waiting[0].finished:
            waiting.popleft()
            if not waiting:
                del self._exchanges[frame.id]
