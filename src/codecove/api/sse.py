"""Server-sent events: a response that owns the generator of its events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codecove import clock
from codecove.api.attention import attend
from codecove.api.body import encode_json
from codecove.api.errors import failure_of
from codecove.errors import CodecoveError

PING_SECONDS = 10.0
"""Silence that is broken by a `ping`, so that no proxy takes the connection for dead."""

_WAITING = b": waiting for the first event\n\n"
"""A comment: clients expect `message_start` before any event, and a model's server that is slow with a long prompt says
nothing before it."""
_PING: dict[str, Any] = {"type": "ping"}
_log = structlog.stdlib.get_logger(__name__)


_LINE_ENDS = {"\u0085".encode(): rb"\u0085", "\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}
"""Characters that are no line ends in an event stream, but are to clients that split it by Unicode's rules."""


def encode_event(event: dict[str, Any]) -> bytes:
    """One event on the wire, named by its type."""
    data = encode_json(event)
    for raw, escaped in _LINE_ENDS.items():
        data = data.replace(raw, escaped)
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), data)


class EventStream(Response):
    """Streams wire events. The generator is closed, and its cleanup awaited, however the response ends.

    An error before the first event is raised, and becomes an HTTP answer like any other. One after it becomes
    an `error` event, and so does one after `ping_seconds` without an event: then the answer's head has been sent.
    A client that leaves ends the generator at once, not at the next event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[dict[str, Any], None],
        *,
        request_id: str,
        stopping: asyncio.Event,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        # `x-accel-buffering` is what nginx needs to pass events on as they come.
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._request_id = request_id
        self._stopping = stopping
        self._ping_seconds = ping_seconds
        self._started = False
        self._starting = asyncio.Lock()
        self._silent = True
        """No event has been sent yet."""
        self._last_sent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await attend(self._pump(send), receive=receive, stopping=self._stopping)
        except ClientDisconnect:
            if not self._started:
                raise
            return
        except Exception as error:
            if not self._started:
                raise
            if isinstance(error, CodecoveError):
                _log.info("stream ended with an error", error=type(error).__name__, reason=error.message)
            else:
                _log.exception("stream ended with an unexpected error")
            await self._send_event(send, failure_of(error).envelope(self._request_id))
        if not self._started:
            raise RuntimeError("a stream ended before its first event")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        """Send every event. One task from first to last: a generator may hold scopes that belong to its task."""
        self._last_sent = clock.monotonic()
        async with aclosing(self._events) as events:
            pinging = asyncio.create_task(self._ping(send))
            try:
                async for event in events:
                    await self._start(send)
                    self._silent = False
                    if event["type"] == "message_stop":
                        pinging.cancel()  # it is the last word, also while the generator still cleans up
                    await self._send_event(send, event)
            finally:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)

    async def _start(self, send: Send) -> None:
        """Send the answer's head, once."""
        async with self._starting:
            if not self._started:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                self._started = True

    async def _ping(self, send: Send) -> None:
        while True:
            wait = self._last_sent + self._ping_seconds - clock.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif self._silent:
                await self._start(send)
                await self._send(send, _WAITING)
            else:
                await self._send_event(send, _PING)

    async def _send_event(self, send: Send, event: dict[str, Any]) -> None:
        await self._send(send, encode_event(event))

    async def _send(self, send: Send, data: bytes) -> None:
        self._last_sent = clock.monotonic()
        await send({"type": "http.response.body", "body": data, "more_body": True})
