"""A program on a terminal in a container, over its guest agent."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import TerminalRefused
from codecove.sandbox.exchanges import Exchange, FileExchange, chunks
from codecove.sandbox.executing import return_code, stop
from codecove.sandbox.finish import uncancelled
from codecove.sandbox.frames import (
    Answer,
    Exit,
    Frame,
    Program,
    ProtocolError,
    Request,
    decode_error,
    decode_exit,
    encode_count,
    encode_resize,
    encode_terminal,
)

_ROOM = 1 << 17
"""Bytes of output that wait here, at most, for someone to read them. Then the program waits."""


class TerminalExchange(Exchange[Exit]):
    """TERMINAL: output within the room that was made for it, then EXIT."""

    def __init__(self) -> None:
        super().__init__()
        self._room = _ROOM
        self._output = bytearray()
        self._news = asyncio.Event()
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when what was sent last, the request first and then input, has been taken, or all is over."""

    @property
    def left_background(self) -> bool:
        """Whether processes of the user were still there at its end; as long as nothing is known, there are."""
        done = self.result.done() and not self.result.cancelled() and self.result.exception() is None
        return not done or self.result.result().background

    async def take_output(self) -> bytes:
        """What has come since the last time, as soon as there is any. Empty: it has ended, and all was taken."""
        while not self._output and not self.finished:
            self._news.clear()
            await self._news.wait()
        taken = bytes(self._output)
        self._output.clear()
        self._room += len(taken)
        return taken

    def receive(self, frame: Frame) -> None:
        match frame.type:
            case Answer.TERMINAL_OUTPUT:
                if not 0 < len(frame.payload) <= self._room:
                    raise ProtocolError("more output of a terminal than there was room for")
                self._room -= len(frame.payload)
                self._output += frame.payload
                self._news.set()
            case Answer.DONE:
                if self.taken.done():
                    raise ProtocolError("a terminal took what it was not given")
                self.taken.set_result(None)
            case Answer.EXIT:
                self._finish(decode_exit(frame.payload))
                self._wake_all()
            case Answer.ERROR:
                self.fail(TerminalRefused(os.strerror(decode_error(frame.payload))))
            case _:
                raise ProtocolError(f"{frame.type.name} from a terminal")

    def fail(self, error: Exception) -> None:
        super().fail(error)
        self._wake_all()

    def _wake_all(self) -> None:
        self._news.set()
        if not self.taken.done():
            self.taken.set_result(None)


class LocalTerminal:
    """Implements `host.Terminal`."""

    def __init__(self, agent: AgentConnection, request: int, exchange: TerminalExchange) -> None:
        self._agent = agent
        self._request = request
        self._exchange = exchange
        self._typing = asyncio.Lock()

    async def read(self) -> bytes:
        """See `host.Terminal`."""
        taken = await self._exchange.take_output()
        if not self._exchange.finished:
            self._agent.send_more(Request.TERMINAL_ROOM, self._request, encode_count(len(taken)))
        elif not taken:
            await self._exchange.result  # raises what has ended it, if its program has not
        return taken

    async def write(self, data: bytes) -> None:
        """See `host.Terminal`."""
        async with self._typing:
            for chunk in chunks(data):
                await asyncio.shield(self._exchange.taken)
                if self._exchange.finished:
                    return
                self._exchange.taken = asyncio.get_running_loop().create_future()
                self._agent.send_more(Request.TERMINAL_INPUT, self._request, chunk)

    async def resize(self, rows: int, columns: int) -> None:
        """See `host.Terminal`."""
        payload = encode_resize(self._request, rows, columns)
        await self._agent.ask(Request.TERMINAL_RESIZE, payload, FileExchange("terminal", Answer.DONE))

    async def return_code(self) -> int:
        """See `host.Terminal`."""
        return return_code((await asyncio.shield(self._exchange.result)).wait_status)


@contextlib.asynccontextmanager
async def opened(
    agent: AgentConnection, program: Program, exchange: TerminalExchange, *, rows: int, columns: int
) -> AsyncIterator[LocalTerminal]:
    """Start `program` on a terminal. All that it has started is killed when the block is left before its end.

    Raises `TerminalRefused`, `ContainerUnavailable`.
    """
    request = agent.send(Request.TERMINAL, encode_terminal(program, room=_ROOM, rows=rows, columns=columns), exchange)
    try:
        await asyncio.shield(exchange.taken)
        if exchange.finished:
            await exchange.result
        yield LocalTerminal(agent, request, exchange)
    finally:
        if not exchange.finished:
            await uncancelled(stop(agent, request, exchange))
