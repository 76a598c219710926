"""Traces by OpenTelemetry, for those who collect them: one for each request, with its model turns and executions.

A span never holds a prompt, code, output or the name of a file.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from codecove import __version__

_FLUSH_MILLISECONDS = 3000

_request: ContextVar[Any] = ContextVar("request span", default=None)
"""The span of the request that is being answered, which the others of it hang from.

Only this one is kept in the context. A span that is open while a generator is suspended can't be: the generator may
be closed from another context.
"""


class TracingUnavailable(Exception):
    """Traces are wanted, and what sends them is not installed. The message says how to."""


class Span:
    """A piece of work that is traced, or not, if nobody wants traces."""

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner

    def set(self, name: str, value: str | int | float | bool | None) -> None:
        """Say more about it. None says nothing."""
        if self._inner is not None and value is not None:
            self._inner.set_attribute(name, value)


class Tracing:
    """Sends spans to an OpenTelemetry collector by OTLP over HTTP. Async context manager: leaving sends what is left.

    `endpoint` is the collector's base URL, `http://127.0.0.1:4318`. None: nothing is traced, and no library of
    OpenTelemetry is loaded.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._provider: Any = None
        self._tracer: Any = None

    async def __aenter__(self) -> Self:
        """Raises `TracingUnavailable`."""
        if self._endpoint is not None:
            await asyncio.to_thread(self._start, self._endpoint)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._provider is not None:
            await asyncio.to_thread(self._stop)

    @contextmanager
    def request(self, name: str, attributes: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of one request: the spans made within are its children. Goes on with a caller's `traceparent`."""
        if self._tracer is None:
            yield Span()
            return
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        parent = TraceContextTextMapPropagator().extract(headers)
        with self._open(name, attributes, parent) as span:
            token = _request.set(span)
            try:
                yield Span(span)
            finally:
                _request.reset(token)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
        """A part of the request that is being answered."""
        if self._tracer is None:
            yield Span()
            return
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

        above = _request.get()
        with self._open(name, attributes, None if above is None else set_span_in_context(above)) as span:
            yield Span(span)

    @contextmanager
    def _open(self, name: str, attributes: Mapping[str, Any], parent: Any) -> Iterator[Any]:
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        span = self._tracer.start_span(name, context=parent, attributes=dict(attributes))
        try:
            yield span
        except Exception as error:
            # The kind alone: a message may quote what the client has sent.
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def _start(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError as error:
            raise TracingUnavailable(
                "COVE_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: pip install 'codecove[otel]'"
            ) from error
        resource = Resource({"service.name": "codecove", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_FLUSH_MILLISECONDS / 1000)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("codecove", __version__)

    def _stop(self) -> None:
        self._provider.force_flush(_FLUSH_MILLISECONDS)
        self._provider.shutdown()
