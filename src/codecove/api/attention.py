"""Doing a request's work only as long as somebody waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from codecove.errors import Overloaded

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger(__name__)


async def attend(work: Coroutine[Any, Any, _T], *, receive: Receive, stopping: asyncio.Event) -> _T:
    """The result of `work`, which is cancelled and awaited when the client leaves or the server stops.

    The request's body must have been read to its end. Raises what `work` raises; `ClientDisconnect`; and
    `Overloaded` when `stopping` was set.
    """
    job = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((job, gone, stop), return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            return job.result()
        raise ClientDisconnect if gone.done() else Overloaded("This server is shutting down; try again in a moment")
    finally:
        finished = job.done()
        for task in (job, gone, stop):
            task.cancel()
        result, *_ = await asyncio.gather(job, gone, stop, return_exceptions=True)
        if not finished and isinstance(result, Exception):
            _log.error("cleaning up after a request failed", exc_info=result)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
