"""What nobody asks for: removing files whose time is over, and blobs that no file names."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

import structlog

from codecove import clock
from codecove.files.blobs import Blobs
from codecove.files.records import Records
from codecove.observe.chores import Chores
from codecove.observe.metrics import Metrics
from codecove.store.database import Database
from codecove.store.finish import finish

_INTERVAL = 60.0
"""Seconds. An expired file is invisible at once; this is when its bytes go."""
_REMEMBER = timedelta(days=7)
"""How long a deleted file may be named as the place to go on in a list."""

_BATCH = 100
"""Blobs that are deleted before that is written down."""
_AT_ONCE = 8
"""Of which as many at the same time."""

log = structlog.get_logger(__name__)


class Upkeep:
    """An async context manager: on entering, what a crash has left is removed; then it works until it is left."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: Blobs,
        now: Callable[[], datetime] = clock.now,
        metrics: Metrics | None = None,
    ) -> None:
        self._records = Records(database)
        self._blobs = blobs
        self._now = now
        self._chores = Chores(metrics or Metrics())

    async def __aenter__(self) -> Self:
        await self._records.doom_unfinished()
        await self.sweep()
        self._chores.every(_INTERVAL, "remove expired files", self.sweep)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await finish(self._chores.__aexit__(*exc))

    async def sweep(self) -> None:
        """Remove what is due now."""
        while await self._records.expire(self._now()):
            pass
        await self._records.forget_deleted(self._now() - _REMEMBER)
        doomed = await self._records.doomed()
        for first in range(0, len(doomed), _BATCH):
            await discard(self._records, self._blobs, doomed[first : first + _BATCH])


async def discard(records: Records, blobs: Blobs, doomed: Sequence[str]) -> None:
    """Delete doomed blobs. One for which that fails stays doomed, and the next sweep tries again."""
    deleted = []
    turn = asyncio.Semaphore(_AT_ONCE)

    async def delete(blob: str) -> None:
        async with turn:
            try:
                await blobs.delete(blob)
            except Exception:
                log.exception("a blob could not be deleted; trying again later", blob=blob)
            else:
                deleted.append(blob)

    await asyncio.gather(*map(delete, doomed))
    if deleted:
        await records.forget_blobs(deleted)
