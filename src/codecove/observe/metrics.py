"""What a server counts, for Prometheus.

Labels have few values, all of them ours: routes, statuses, tools, the operator's patterns of models. Never a model
name, a workspace or a key as a client sent it: those are in the log and in `/v1/usage`.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from codecove import clock

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_QUICK: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_LONG: Final = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
_TOKENS: Final = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_creation_input_tokens": "cache_creation",
    "cache_read_input_tokens": "cache_read",
}


class Metrics:
    """The metrics of one server. Counters start at 0 with it, as Prometheus expects."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._http(self._registry)
        self._upstream(self._registry)
        self._executions(self._registry)
        self._chores(self._registry)
        self._batch_results = Counter(
            "codecove_batch_results", "Results of batches' requests, by kind.", ("outcome",), registry=self._registry
        )

    def _http(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "codecove_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "codecove_http_request_seconds",
            "From a request's arrival to the end of its answer.",
            ("route",),
            buckets=_LONG,
            registry=registry,
        )
        self.first_byte_seconds = Histogram(
            "codecove_http_first_byte_seconds",
            "From a request's arrival to the first byte of its answer's body.",
            ("route",),
            buckets=_LONG,
            registry=registry,
        )
        self.requests_running = Gauge(
            "codecove_http_requests_running", "Requests that are being answered.", registry=registry
        )
        self.received_bytes = Counter(
            "codecove_http_received_bytes", "Bytes of request bodies.", ("route",), registry=registry
        )
        self.sent_bytes = Counter(
            "codecove_http_sent_bytes", "Bytes of answers' bodies.", ("route",), registry=registry
        )

    def _upstream(self, registry: CollectorRegistry) -> None:
        names = ("upstream",)
        self.turns = Counter(
            "codecove_model_turns",
            "Model turns, by how they ended: `ok`, `cancelled`, or the error's HTTP status.",
            ("upstream", "outcome"),
            registry=registry,
        )
        self.turn_seconds = Histogram(
            "codecove_model_turn_seconds", "One model turn, to its end.", names, buckets=_LONG, registry=registry
        )
        self.first_event_seconds = Histogram(
            "codecove_model_first_event_seconds",
            "From asking the upstream to its first event.",
            names,
            buckets=_LONG,
            registry=registry,
        )
        self._tokens = Counter(
            "codecove_model_tokens", "Tokens, as the upstream counts them.", ("upstream", "kind"), registry=registry
        )

    def _executions(self, registry: CollectorRegistry) -> None:
        self.executions = Counter(
            "codecove_executions",
            "Tool calls that reached a container. `exit`: `0`, `nonzero`, `done` (editor), or the error code.",
            ("tool", "exit"),
            registry=registry,
        )
        self.execution_seconds = Histogram(
            "codecove_execution_seconds", "One tool call in its container.", ("tool",), buckets=_LONG, registry=registry
        )
        self.sandbox_seconds = Histogram(
            "codecove_sandbox_seconds",
            "What the sandbox does: `boot`, `wake`, `sleep`, `execution` (one command).",
            ("what",),
            buckets=_QUICK,
            registry=registry,
        )

    def _chores(self, registry: CollectorRegistry) -> None:
        self._chore_runs = Counter(
            "codecove_chore_runs",
            "Runs of what a server does again and again (expiry, retention, metering …): `ok` or `failed`.",
            ("chore", "outcome"),
            registry=registry,
        )
        self._chore_seconds = Counter("codecove_chore_seconds", "Time spent on chores.", ("chore",), registry=registry)
        self._chore_success = Gauge(
            "codecove_chore_last_success_timestamp_seconds",
            "When a chore last succeeded, in seconds since 1970.",
            ("chore",),
            registry=registry,
        )

    def ended_chore(self, what: str, outcome: Literal["ok", "failed"], seconds: float) -> None:
        """A chore has run."""
        self._chore_runs.labels(what, outcome).inc()
        self._chore_seconds.labels(what).inc(seconds)
        if outcome == "ok":
            self._chore_success.labels(what).set(clock.now().timestamp())

    def ended_batched(self, outcome: str, number: int = 1) -> None:
        """So many requests of batches have a result of this kind."""
        self._batch_results.labels(outcome).inc(number)

    def count_tokens(self, upstream: str, usage: dict[str, object]) -> None:
        """Add a turn's usage, as the Messages protocol has it."""
        for name, kind in _TOKENS.items():
            count = usage.get(name)
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                self._tokens.labels(upstream, kind).inc(count)

    def ended_execution(self, tool: str, *, seconds: float, return_code: int | None, error_code: str | None) -> None:
        """One call ended, with either of the two, or with neither (the editor)."""
        self.executions.labels(tool, _exit(return_code, error_code)).inc()
        self.execution_seconds.labels(tool).observe(seconds)

    def watch(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        """Have `gauges` asked at each scrape, for what is known without being counted."""
        self._registry.register(_Watched(gauges))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Watched(Collector):
    def __init__(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        return self._gauges()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering it asks for nothing yet."""
        return ()


def _exit(return_code: int | None, error_code: str | None) -> str:
    if error_code is not None:
        return error_code
    if return_code is None:
        return "done"
    return "0" if return_code == 0 else "nonzero"
