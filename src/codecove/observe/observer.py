"""What the parts of a server report to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from codecove import clock
from codecove.observe.metrics import Metrics
from codecove.observe.tracing import Tracing

_log = structlog.stdlib.get_logger(__name__)


class Ending(Protocol):
    """What became of an execution: one of the two codes, or neither for a call of the editor that went well."""

    return_code: int | None
    error_code: str | None
    microseconds: int | None


@dataclass(frozen=True, slots=True)
class Observer:
    """The metrics and the traces of one server. As it comes, nobody reads the metrics and nothing is traced."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=Tracing)

    @contextmanager
    def execution(self, ending: Ending, *, tool: str, container_id: str) -> Iterator[None]:
        """Count, time and trace what runs in the block; `ending` says at its end what became of it."""
        begun = clock.monotonic()
        attributes = {"codecove.tool": tool, "codecove.container_id": container_id}
        with self.tracing.span("execution", attributes) as span:
            try:
                yield
            finally:
                # Of one that is metered the metrics say what the meter says.
                metered = ending.microseconds
                seconds = clock.monotonic() - begun if metered is None else metered / 1_000_000
                self.metrics.ended_execution(
                    tool,
                    seconds=seconds,
                    return_code=ending.return_code,
                    error_code=ending.error_code,
                )
                _log.info(
                    "execution",
                    tool=tool,
                    container_id=container_id,
                    return_code=ending.return_code,
                    error_code=ending.error_code,
                    seconds=round(seconds, 6),
                )
                span.set("codecove.return_code", ending.return_code)
                span.set("codecove.error_code", ending.error_code)
