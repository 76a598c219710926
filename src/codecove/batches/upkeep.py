"""What nobody asks for: batches that expire, results that are no longer kept, and what is left of both."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from codecove.batches.durable import DurableQueue
from codecove.batches.progress import Progress
from codecove.store.finish import finish

_LONGEST_INTERVAL = 60.0
_SHORTEST_INTERVAL = 1.0
_REMEMBER = timedelta(days=7)
"""How long a deleted batch may be named as the place to go on in a list."""

_SETTLED = timedelta(minutes=1)
"""How long after its end a batch is certain to have nothing left that the queue calls running."""

log = structlog.stdlib.get_logger(__name__)


class Upkeep:
    """A task that does what is due, now and then, from `start` to `stop`."""

    def __init__(
        self,
        progress: Progress,
        queue: DurableQueue,
        *,
        expiry: float,
        results_days: float,
        now: Callable[[], datetime],
    ) -> None:
        self._progress = progress
        self._queue = queue
        self._kept = timedelta(days=results_days)
        self._interval = min(max(expiry / 60, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
        self._now = now
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._sweep_forever(), name="expire batches")

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await finish(asyncio.wait({task}))

    def soon(self) -> None:
        """There is something to remove."""
        self._due.set()

    async def sweep(self) -> None:
        """Do what is due now."""
        now = self._now()
        if expired := await self._progress.expire(now):
            log.info("batch requests expired", number=expired)
        for batch_id in await self._progress.archive(now - self._kept, now):
            log.info("the results of a batch are no longer kept", batch_id=batch_id)
        while await self._progress.remove_requests():
            pass
        if over := await self._progress.queued(now - _SETTLED):
            await self._queue.remove(over)
            await self._progress.not_queued(list(over))
        await self._progress.forget_deleted(now - _REMEMBER)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                log.exception("the upkeep of batches failed; trying again", seconds=self._interval)
            self._due.clear()
            try:
                async with asyncio.timeout(self._interval):
                    await self._due.wait()
            except TimeoutError:
                continue
