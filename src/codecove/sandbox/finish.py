"""Work that a cancelled caller sees through to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """See `work` through to its end even if the caller is cancelled; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled = await ended(task)
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def ended(task: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait for its end, whatever that is. Returns with what the caller has been cancelled meanwhile, if it was."""
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])  # which neither cancels the task nor raises what it raised
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
