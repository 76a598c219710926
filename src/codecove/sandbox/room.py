"""Waiting for room on a host: in the order asked, and no longer than a set time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from codecove.sandbox.admission import Bounds, Use, refusal
from codecove.sandbox.errors import HostFull

_LOOK_SECONDS = 0.25
"""Memory may become free without anybody saying so."""


class Room:
    """Gives out the places for containers that are awake.

    `awake` says what those take that are awake for good; those being started are counted here. `make` gives up
    something that is idle, and says whether there was anything. `available` is the machine's free memory.
    """

    def __init__(
        self,
        bounds: Bounds,
        patience: float,
        *,
        awake: Callable[[], Sequence[Use]],
        available: Callable[[], int],
        make: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._bounds = bounds
        self._patience = patience
        self._awake = awake
        self._available = available
        self._make = make
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._starting: Counter[int] = Counter()
        self.waiting = 0
        """How many callers wait for a place."""

    @property
    def starting(self) -> int:
        """How many containers are being started."""
        return self._starting.total()

    @asynccontextmanager
    async def place(self, limit: int) -> AsyncIterator[None]:
        """Start one more within the block, of at most `limit` bytes of memory. Raises `HostFull`.

        Waits for its turn, and then until there is room; may be cancelled meanwhile.
        """
        await self._enter(limit)
        try:
            yield
        finally:
            self._left(limit)

    @contextmanager
    def spare_place(self, limit: int) -> Iterator[bool]:
        """The same for what nobody waits for. False, and no place, if there is no room without giving something up."""
        if self.waiting or self.refusal(limit):
            yield False
            return
        self._starting[limit] += 1
        try:
            yield True
        finally:
            self._left(limit)

    def _left(self, limit: int) -> None:
        self._starting[limit] -= 1
        self.changed()

    async def _enter(self, limit: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._patience
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
            try:
                await self._wait(limit, deadline)
                self._starting[limit] += 1
            finally:
                self._turn.release()
        except TimeoutError:
            raise HostFull(f"others have waited for room for {self._patience:g} s already") from None
        finally:
            self.waiting -= 1

    def refusal(self, limit: int) -> str:
        """Why there is no room now without giving something up. Empty if there is."""
        starting = [Use(0, started) for started in self._starting.elements()]
        return refusal(self._bounds, [*self._awake(), *starting], limit=limit, available=self._available())

    def changed(self) -> None:
        """There may be room now, or something to give up."""
        self._changed.set()

    async def _wait(self, limit: int, deadline: float) -> None:
        while reason := self.refusal(limit):
            self._changed.clear()
            if await self._make(reason):
                continue
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise HostFull(f"{reason}, and all are busy")
            try:
                async with asyncio.timeout(min(left, _LOOK_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue
