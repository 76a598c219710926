"""An upstream whose turns are counted, timed and traced."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from codecove import clock
from codecove.errors import UpstreamError
from codecove.messages.protocol import Event, PassedHeaders, Upstream
from codecove.observe.observer import Observer
from codecove.observe.tracing import Span


class MeasuredUpstream:
    """`inner`, under the name that metrics and traces give it."""

    def __init__(self, inner: Upstream, name: str, observer: Observer) -> None:
        self._inner = inner
        self._name = name
        self._metrics = observer.metrics
        self._tracing = observer.tracing

    async def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        """See `Upstream`."""
        begun = clock.monotonic()
        outcome = "cancelled"
        counts: dict[str, Any] = {}
        with self._tracing.span("model turn", {"codecove.upstream": self._name}) as span:
            try:
                async with aclosing(self._inner.stream(request, headers)) as events:
                    first = True
                    async for event in events:
                        if first:
                            self._metrics.first_event_seconds.labels(self._name).observe(clock.monotonic() - begun)
                            first = False
                        counts = _counted(counts, event)
                        yield event
                outcome = "ok"
            except UpstreamError as error:
                outcome = str(error.status)
                raise
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException:
                outcome = "fault"
                raise
            finally:
                self._report(span, outcome, clock.monotonic() - begun, counts)

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """See `Upstream`."""
        return await self._inner.count_tokens(request, headers)

    def _report(self, span: Span, outcome: str, seconds: float, counts: dict[str, Any]) -> None:
        self._metrics.turns.labels(self._name, outcome).inc()
        self._metrics.turn_seconds.labels(self._name).observe(seconds)
        self._metrics.count_tokens(self._name, counts)
        span.set("codecove.outcome", outcome)
        for name in ("input_tokens", "output_tokens"):
            span.set(f"gen_ai.usage.{name}", counts.get(name))


def _counted(counts: dict[str, Any], event: Event) -> dict[str, Any]:
    """A turn's usage so far: the newest word on each count is the whole of it."""
    if event.get("type") == "message_start":
        message = event.get("message")
        found = message.get("usage") if isinstance(message, dict) else None
    elif event.get("type") == "message_delta":
        found = event.get("usage")
    else:
        return counts
    if not isinstance(found, dict):
        return counts
    return {**counts, **{key: value for key, value in found.items() if value is not None}}
