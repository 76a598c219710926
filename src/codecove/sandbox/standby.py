"""The pool: containers that stand ready, and the task that sees that there are enough of them."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from codecove.sandbox.errors import SandboxError
from codecove.sandbox.finish import uncancelled
from codecove.sandbox.lifecycle import State
from codecove.sandbox.pool import MAX_AGE_SECONDS, Demand, PoolSize
from codecove.sandbox.resident import Resident

_log = logging.getLogger(__name__)

_CALM_SECONDS = 0.1
"""Between two looks for a moment to make one in."""
_REST_SECONDS = 10.0
"""Between two looks when there are as many as wanted."""
_FAILURE_SECONDS = 30.0
"""After one that could not be made."""


@dataclass(frozen=True, slots=True)
class _Member:
    resident: Resident
    since: float
    image: tuple[int, int] | None


class Standby:
    """Containers without an id, frozen, that nobody has used and that are given away once.

    `make` boots one, or returns None when there is no room; it is called for one at a time, and only when `is_calm`.
    `image` identifies the image that one made now would have.
    """

    def __init__(
        self,
        size: PoolSize,
        *,
        make: Callable[[], Awaitable[Resident | None]],
        is_calm: Callable[[], bool],
        image: Callable[[], tuple[int, int] | None],
    ) -> None:
        self._size = size
        self._make = make
        self._is_calm = is_calm
        self._image = image
        self._members: deque[_Member] = deque()
        self._demand = Demand()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """From now on it is filled, unless the settings want no pool."""
        if self._size.maximum > 0:
            self._task = asyncio.create_task(self._fill(), name="fill the pool of containers")

    async def close(self) -> None:
        """End all that are there. The caller sees it through."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._members:
            await self._end(self._members.popleft())

    @property
    def is_open(self) -> bool:
        """Whether there is a pool at all."""
        return self._task is not None

    @property
    def residents(self) -> list[Resident]:
        """Those that stand ready."""
        return [member.resident for member in self._members]

    @property
    def wanted(self) -> int:
        """How many should stand ready."""
        return self._demand.wanted(self._size, time.monotonic())

    def take(self) -> Resident | None:
        """One that is whole, and belongs to the caller from now on. None if there is none."""
        self._demand.note(time.monotonic())
        self._changed.set()
        for member in self._members:
            if self._is_whole(member):
                self._members.remove(member)
                return member.resident
        return None

    def changed(self) -> None:
        """One of them may have died."""
        self._changed.set()

    async def give_up(self) -> bool:
        """End one, to make room. False if there is none."""
        if not self._members:
            return False
        await uncancelled(self._end(self._members.popleft()))
        return True

    def _is_whole(self, member: _Member) -> bool:
        return (
            member.resident.container.state in (State.IDLE, State.FROZEN)
            and time.monotonic() - member.since < MAX_AGE_SECONDS
            and member.image == self._image()
        )

    async def _fill(self) -> None:
        while True:
            self._changed.clear()
            pause = _REST_SECONDS
            for member in [member for member in self._members if not self._is_whole(member)]:
                self._members.remove(member)
                await uncancelled(self._end(member))
            if len(self._members) > self.wanted:
                await self.give_up()
            elif len(self._members) < self.wanted:
                pause = await self._add() if self._is_calm() else _CALM_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _add(self) -> float:
        """Make one. Returns after how many seconds to look again."""
        try:
            image = self._image()
            resident = await self._make()
        except (SandboxError, OSError) as error:
            _log.warning("no container for the pool could be made: %s", error)
            return _FAILURE_SECONDS
        if resident is None:
            return _REST_SECONDS
        self._members.append(_Member(resident, time.monotonic(), image))
        return 0.0

    async def _end(self, member: _Member) -> None:
        async with member.resident.lock:
            try:
                await member.resident.destroy()
            except (SandboxError, OSError):
                _log.exception("a container of the pool could not be removed")
