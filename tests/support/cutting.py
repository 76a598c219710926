"""A TCP proxy that breaks connections after a given number of bytes, in either direction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

Direction = Literal["request", "answer"]
Kind = Literal["reset", "end"]


@dataclass(frozen=True)
class Cut:
    """Where a connection breaks, and how."""

    direction: Direction
    """Whose bytes are counted: those of the side that connected, or the other's."""
    after: int
    """Bytes that still get through."""
    kind: Kind
    """reset: both sides get a RST. end: both sides get an orderly FIN in the middle."""


class CuttingProxy:
    """Passes bytes on, and breaks one connection after so many bytes from now as `cut` was told."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts = 0
        """Connections that it has broken."""
        self.url = ""
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()
        self._cut: Cut | None = None
        self._left = 0

    def cut(self, cut: Cut | None) -> None:
        """Break the connection on which the byte `cut.after` bytes from now would go. None: none."""
        self._cut, self._left = cut, cut.after if cut is not None else 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._relay(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the connection is over, which is all there is to it
        finally:
            self._connections.discard(task)
            _break(writer, "reset")

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        sides = (
            asyncio.create_task(self._pump(reader, far_writer, "request")),
            asyncio.create_task(self._pump(far_reader, writer, "answer")),
        )
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            kinds = [task.result() for task in done if task.exception() is None]
            for end in (writer, far_writer):
                _break(end, next((kind for kind in kinds if kind is not None), "end"))
        finally:
            for task in sides:
                task.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
            _break(far_writer, "reset")

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> Kind | None:
        """Copy until the end, or the cut; the value is the cut's kind."""
        while data := await reader.read(65536):
            cut = self._cut if self._cut is not None and self._cut.direction == direction else None
            if cut is not None:
                rest, data = data[self._left :], data[: self._left]
                self._left -= len(data)
                if rest:
                    self._cut = None
                    self.cuts += 1
                    writer.write(data)
                    await writer.drain()
                    return cut.kind
            writer.write(data)
            await writer.drain()
        return None

    async def close(self) -> None:
        """End what still runs."""
        for task in set(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


def _break(writer: asyncio.StreamWriter, kind: Kind) -> None:
    if kind == "reset":
        writer.transport.abort()
    elif not writer.is_closing():
        writer.close()


@contextlib.asynccontextmanager
async def cutting(url: str) -> AsyncIterator[CuttingProxy]:
    """A proxy before the server at `url`, until the block ends."""
    host, port = url.removeprefix("http://").split(":")
    proxy = CuttingProxy(host, int(port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
