"""Which executions may begin: those that somebody waits for go first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from codecove.clock import monotonic

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""What an execution runs in. Entering it may take until the execution may begin."""


class Precedence:
    """Interactive executions begin at once; those in the background when there is a core for them.

    A core is always left to the next interactive execution, so that it shares none with the background. Where
    interactive executions take all cores for `patience` seconds, one in the background begins all the same.
    """

    def __init__(self, *, cores: int, patience: float = 60) -> None:
        self._cores = cores
        self._most = max(cores - 1, 1)
        self._patience = patience
        self._interactive = 0
        self._background = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def interactive(self) -> AsyncIterator[None]:
        """Somebody waits for what runs in the block."""
        self._interactive += 1
        try:
            yield
        finally:
            self._interactive -= 1
            self._wake()

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """Nobody waits for what runs in the block."""
        impatient = monotonic() + self._patience
        while not self._has_room(at_once=monotonic() >= impatient):
            try:
                async with asyncio.timeout(max(impatient - monotonic(), 0) or None):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self._background += 1
        try:
            yield
        finally:
            self._background -= 1
            self._wake()

    def _has_room(self, *, at_once: bool) -> bool:
        if self._background >= self._most:
            return False
        return at_once or self._background + self._interactive < self._cores

    def _wake(self) -> None:
        """All that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()
