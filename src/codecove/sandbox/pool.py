"""How many containers stand ready. Decisions only: `standby.py` does what follows from them.

The pool is as large as the largest burst of recent time: what was asked for within the few seconds in which it can't
be filled again. Nothing is asked for, nothing stands ready, but for the minimum.
"""

from collections import deque
from dataclasses import dataclass, field

BURST_SECONDS = 5.0
"""What is asked for within so long counts as at once."""
MEMORY_SECONDS = 900.0
"""Demand counts for so long."""
MAX_AGE_SECONDS = 3600.0
"""One that has stood ready for longer is replaced."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """The bounds of the settings. A maximum of 0: there is no pool."""

    minimum: int = 0
    maximum: int = 0


@dataclass(slots=True)
class Demand:
    """When fresh containers were asked for. Times are in seconds, and never go back."""

    _asked: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def note(self, now: float) -> None:
        """One is asked for."""
        self._asked.append(now)
        self._forget(now)

    def wanted(self, size: PoolSize, now: float) -> int:
        """How many should stand ready now."""
        self._forget(now)
        return min(max(self._largest_burst(), size.minimum), size.maximum)

    def _largest_burst(self) -> int:
        largest, first = 0, 0
        asked = list(self._asked)
        for last, moment in enumerate(asked):
            while asked[first] <= moment - BURST_SECONDS:
                first += 1
            largest = max(largest, last - first + 1)
        return largest

    def _forget(self, now: float) -> None:
        while self._asked and self._asked[0] <= now - MEMORY_SECONDS:
            self._asked.popleft()


def is_calm(*, waiting: int, starting: int, busy: int, cores: int) -> bool:
    """Whether making one more delays nobody: a core is free, and nobody waits for a container."""
    return waiting == 0 and starting == 0 and busy < cores
