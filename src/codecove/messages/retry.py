"""A model turn in the middle of a response, which the client can't ask for again."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from codecove.errors import UpstreamError
from codecove.messages.protocol import Event

ATTEMPTS = 4
FIRST_WAIT = 0.5
MAX_WAIT = 30.0
"""Seconds; an upstream that asks for more patience is not asked again."""

_TRANSIENT = frozenset({429, 500, 504, 529})
_log = structlog.stdlib.get_logger(__name__)


async def persistent(begin: Callable[[], AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    """The events of `begin()`, which is called again if it fails before it has said anything of substance.

    Raises the last `UpstreamError` when the attempts are used up, when the failure won't pass by waiting, or when a
    part of the answer is already out.
    """
    for attempt in range(1, ATTEMPTS + 1):
        said = False
        try:
            async with aclosing(begin()) as events:
                async for event in events:
                    said = said or event.get("type") not in ("message_start", "ping")
                    yield event
        except UpstreamError as error:
            wait = _wait(error, attempt)
            if said or wait is None:
                raise
            _log.warning("upstream failed between turns; trying again", status=error.status, seconds=wait)
            await asyncio.sleep(wait)
        else:
            return


def _wait(error: UpstreamError, attempt: int) -> float | None:
    if error.status not in _TRANSIENT or attempt == ATTEMPTS:
        return None
    wait = FIRST_WAIT * 2 ** (attempt - 1) if error.retry_after is None else error.retry_after
    return wait if wait <= MAX_WAIT else None
