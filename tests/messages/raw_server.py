"""A server that answers every request with the same bytes, for what no proper server would send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RawServer:
    url: str = ""
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Headers (in lower case) and body of each request."""
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request has come."""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """The client has closed a connection while the server kept it open."""


@asynccontextmanager
async def serving(
    body: str | bytes,
    *,
    head: str = "200 OK",
    kind: str = "text/event-stream",
    extra: str = "",
    keep_open: bool = False,
) -> AsyncIterator[RawServer]:
    """Serve `body`. With `keep_open` the answer has no end: more could come."""
    server = RawServer()
    data = body.encode() if isinstance(body, str) else body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while await _one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
        request = json.loads(await reader.readexactly(int(headers["content-length"])))
        server.requests.append((headers, request))
        server.asked.set()
        writer.write(f"HTTP/1.1 {head}\r\ncontent-type: {kind}\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode())
        if data:
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
        if keep_open:
            await reader.read(1)
            server.hung_up.set()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        server.url = f"http://{host}:{port}"
        yield server


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
