"""What a server does again and again, beside answering requests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

from codecove import clock
from codecove.observe.metrics import Metrics

_log = structlog.stdlib.get_logger(__name__)


class Chores:
    """Runs chores, each in a task of its own, until it is left. Async context manager.

    One that fails is logged and tried again after its interval: a locked database or a store that is away is no
    reason to stop for good. Each run is counted, so that a chore that no longer works can be seen.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def every(self, seconds: float, what: str, work: Callable[[], Awaitable[object]]) -> Callable[[], None]:
        """Do `work` again and again, with so many seconds between an end and the next start; `what` names it.

        The value is to be called when there is a reason to do it at once.
        """
        due = asyncio.Event()
        self._tasks.add(asyncio.create_task(self._forever(seconds, what, work, due), name=what))
        return due.set

    async def _forever(
        self, seconds: float, what: str, work: Callable[[], Awaitable[object]], due: asyncio.Event
    ) -> None:
        while True:
            await _either(due, seconds)
            due.clear()
            begun = clock.monotonic()
            try:
                await work()
            except Exception:  # noqa: BLE001  # it is logged and counted, and the next run may succeed
                _log.exception("a chore failed; trying again", chore=what, seconds=seconds)
                self._metrics.ended_chore(what, "failed", clock.monotonic() - begun)
            else:
                self._metrics.ended_chore(what, "ok", clock.monotonic() - begun)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but not for longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
