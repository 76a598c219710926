"""What nobody asks for: batches that expire, results that are no longer kept, and what is left of both."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Self

import structlog

from codecove.batches.durable import DurableQueue
from codecove.batches.progress import Progress
from codecove.observe.chores import Chores
from codecove.observe.metrics import Metrics
from codecove.store.finish import finish

_LONGEST_INTERVAL = 60.0
_SHORTEST_INTERVAL = 1.0
_REMEMBER = timedelta(days=7)
"""How long a deleted batch may be named as the place to go on in a list."""

_SETTLED = timedelta(minutes=1)
"""How long after its end a batch is certain to have nothing left that the queue calls running."""

log = structlog.stdlib.get_logger(__name__)


class Upkeep:
    """Does what is due, now and then, while it is entered. Async context manager."""

    def __init__(
        self,
        progress: Progress,
        queue: DurableQueue,
        *,
        expiry: float,
        results_days: float,
        now: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._progress = progress
        self._queue = queue
        self._kept = timedelta(days=results_days)
        self._interval = min(max(expiry / 60, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
        self._now = now
        self._metrics = metrics
        self._chores = Chores(metrics)
        self.soon: Callable[[], None] = _nothing
        """To be called when there is something to remove."""

    async def __aenter__(self) -> Self:
        self.soon = self._chores.every(self._interval, "expire batches", self.sweep)
        self.soon()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.soon = _nothing
        await finish(self._chores.__aexit__(*exc))

    async def sweep(self) -> None:
        """Do what is due now."""
        now = self._now()
        if expired := await self._progress.expire(now):
            log.info("batch requests expired", number=expired)
            self._metrics.ended_batched("expired", expired)
        for batch_id in await self._progress.archive(now - self._kept, now):
            log.info("the results of a batch are no longer kept", batch_id=batch_id)
        for batch_id in await self._progress.orphans(now):
            log.info("a batch went with its workspace", batch_id=batch_id)
        while await self._progress.remove_requests():
            pass
        if over := await self._progress.queued(now - _SETTLED):
            await self._queue.remove(over)
            await self._progress.not_queued(list(over))
        await self._progress.forget_deleted(now - _REMEMBER)


def _nothing() -> None:
    """While nobody works, there is nobody to be told."""
