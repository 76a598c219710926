"""What every request gets: an id, a line in the log, its place in metrics and traces, and an answer even to a bug."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codecove import clock, ids
from codecove.api.errors import CLIENT_GONE, failure_of
from codecove.observe.observer import Observer
from codecove.observe.tracing import Span

_log = structlog.stdlib.get_logger(__name__)


class RequestContext:
    """Gives a request its id: in `request.state`, in every log line, and in the `request-id` header.

    The log line says method, path, status and time; never a query, a header or a body. A WebSocket is a request whose
    answer, with status 101, lasts until it is closed.
    """

    def __init__(self, app: ASGIApp, *, observer: Observer) -> None:
        self._app = app
        self._metrics = observer.metrics
        self._tracing = observer.tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = ids.new("req")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        exchange = _Exchange(scope, receive, send, request_id)
        with self._observed(exchange):
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except Exception as error:
                _log.exception("request failed unexpectedly")
                if exchange.status:
                    raise  # the answer has begun: all that is left is to break the connection
                await failure_of(error).response(request_id)(scope, exchange.receive, exchange.send)

    @contextmanager
    def _observed(self, exchange: "_Exchange") -> Iterator[None]:
        """The request's line in the log, its metrics and its trace."""
        attributes = {"http.request.method": exchange.method, "codecove.request_id": exchange.request_id}
        headers = Headers(scope=exchange.scope)
        with (
            self._metrics.requests_running.track_inprogress(),
            self._tracing.request("request", attributes, headers) as span,
        ):
            try:
                yield
            finally:
                self._report(exchange, span)

    def _report(self, exchange: "_Exchange", span: Span) -> None:
        seconds, status, route = clock.monotonic() - exchange.begun, exchange.status or CLIENT_GONE, exchange.route
        _log.info(
            "request", method=exchange.method, path=exchange.scope["path"], status=status, seconds=round(seconds, 3)
        )
        metrics = self._metrics
        metrics.requests.labels(exchange.method, route, str(status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        metrics.received_bytes.labels(route).inc(exchange.received)
        metrics.sent_bytes.labels(route).inc(exchange.sent)
        if exchange.first_byte is not None:
            metrics.first_byte_seconds.labels(route).observe(exchange.first_byte - exchange.begun)
        span.set("http.route", route)
        span.set("http.response.status_code", status)


class _Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.begun = clock.monotonic()
        self.first_byte: float | None = None
        self.status = 0
        self.received = 0
        self.sent = 0
        self._receive = receive
        self._send = send

    @property
    def method(self) -> str:
        """The method; `OTHER` for one that HTTP doesn't have."""
        method: str = self.scope.get("method", "GET")  # a WebSocket begins with a GET
        return method if method in _METHODS else "OTHER"

    @property
    def route(self) -> str:
        """The path's pattern, `/v1/files/{file_id}`; `none` if there is no such endpoint."""
        return getattr(self.scope.get("route"), "path", "none")

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += _size(message)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] in _BEGINNINGS:
            self.status = message.get("status", _SWITCHING)
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["request-id"] = self.request_id
            headers.update(self.scope["state"].get("answer_headers", {}))
        elif message["type"] == "websocket.close" and not self.status:
            self.status = _REFUSED
        elif size := _size(message):
            if self.first_byte is None:
                self.first_byte = clock.monotonic()
            self.sent += size
        await self._send(message)


_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_SWITCHING = 101
_REFUSED = 403
"""What the protocol has for a WebSocket that is closed before it is accepted."""


def _size(message: Message) -> int:
    """Bytes of a body's part, or of a WebSocket's message."""
    data = message.get("body") or message.get("bytes") or message.get("text") or b""
    return len(data.encode()) if isinstance(data, str) else len(data)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
