"""What the sandbox and the batches say of themselves, as metrics."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from codecove import clock
from codecove.batches.progress import Backlog
from codecove.observe.metrics import Metrics
from codecove.sandbox.lifecycle import State, Transition
from codecove.sandbox.observing import Work
from codecove.sandbox.statistics import HostStatistics


class SandboxTimes:
    """A sandbox's observer that reports how long things take."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        """Nothing: how many containers are in a state is asked for when it is wanted."""

    def took(self, work: Work, seconds: float) -> None:
        """See `sandbox.observing.Observer`."""
        self._metrics.sandbox_seconds.labels(work).observe(seconds)


def of_host(found: HostStatistics) -> Iterable[Metric]:
    """A host's counts and its present state."""
    containers = GaugeMetricFamily("codecove_containers", "Containers, by state.", labels=["state"])
    for state in State:
        containers.add_metric([state.value], found.containers.get(state, 0))
    yield containers
    counts = found.counts
    takes = CounterMetricFamily(
        "codecove_pool_takes", "New containers: ready in the pool (`hit`), or not.", labels=["result"]
    )
    takes.add_metric(["hit"], counts.pool_hits)
    takes.add_metric(["miss"], counts.pool_misses)
    yield takes
    failures = CounterMetricFamily("codecove_sandbox_failures", "What went wrong with sandboxes.", labels=["what"])
    for what, count in counts.failures.items():
        failures.add_metric([what], count)
    yield failures
    yield GaugeMetricFamily("codecove_pool_size", "Containers that stand ready.", value=found.pool_size)
    yield GaugeMetricFamily("codecove_pool_wanted", "How many should.", value=found.pool_wanted)
    yield GaugeMetricFamily("codecove_waiting_for_room", "Requests that wait for room.", value=found.waiting)
    yield GaugeMetricFamily(
        "codecove_available_memory_bytes", "What the machine can still give.", value=found.available_memory
    )


def watched_backlog(metrics: Metrics, read: Callable[[], Awaitable[Backlog]]) -> Callable[[], Awaitable[None]]:
    """Have the backlog of the batches in the metrics; the value reads it anew, and is to be called before a scrape."""
    gauges = _BatchGauges(read)
    metrics.watch(gauges.collect)
    return gauges.refresh


class _BatchGauges:
    """It is in the database, so it is read before a scrape and not by it."""

    def __init__(self, backlog: Callable[[], Awaitable[Backlog]], now: Callable[[], datetime] = clock.now) -> None:
        self._read = backlog
        self._now = now
        self._backlog = Backlog(waiting=0, running=0, oldest=None)

    async def refresh(self) -> None:
        """Read it anew."""
        self._backlog = await self._read()

    def collect(self) -> Iterable[Metric]:
        """As it was last read."""
        found = self._backlog
        requests = GaugeMetricFamily("codecove_batch_requests", "Requests of batches, by state.", labels=["state"])
        requests.add_metric(["waiting"], found.waiting)
        requests.add_metric(["running"], found.running)
        yield requests
        age = 0.0 if found.oldest is None else (self._now() - found.oldest).total_seconds()
        yield GaugeMetricFamily(
            "codecove_batch_oldest_seconds", "Age of the oldest batch with requests waiting.", value=age
        )
