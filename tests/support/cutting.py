"""A TCP proxy that breaks connections after a given number of bytes, in either direction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
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
    """Passes bytes on. Each connection breaks as `next_cut` says when it is made; None: never."""

    def __init__(self, host: str, port: int) -> None:
        self.next_cut: Callable[[], Cut | None] = lambda: None
        self.cuts = 0
        """Connections that it has broken."""
        self.url = ""
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._relay(reader, writer, self.next_cut())
        except (ConnectionError, asyncio.CancelledError):
            pass  # the connection is over, which is all there is to it
        finally:
            self._connections.discard(task)
            _break(writer, "reset")

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Cut | None) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        limits: dict[str, int | None] = {"request": None, "answer": None}
        if cut is not None:
            limits[cut.direction] = cut.after
        sides = (
            asyncio.create_task(_pump(reader, far_writer, limits["request"])),
            asyncio.create_task(_pump(far_reader, writer, limits["answer"])),
        )
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            was_cut = any(task.exception() is None and task.result() for task in done)
            self.cuts += was_cut
            kind = cut.kind if cut is not None and was_cut else "end"
            for end in (writer, far_writer):
                _break(end, kind)
        finally:
            for task in sides:
                task.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
            _break(far_writer, "reset")

    async def close(self) -> None:
        """End what still runs."""
        for task in set(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> bool:
    """Copy until the end or the limit; whether it was the limit."""
    while limit is None or limit > 0:
        data = await reader.read(65536 if limit is None else min(limit, 65536))
        if not data:
            return False
        writer.write(data)
        await writer.drain()
        limit = None if limit is None else limit - len(data)
    return True


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
