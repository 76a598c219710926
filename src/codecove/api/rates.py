"""How many requests a workspace, and each of its keys, sends in a minute, held to their quotas.

The counts are in memory: a restart forgets them, and there is one server for a database.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from codecove import clock
from codecove.errors import RateLimited
from codecove.workspaces import Caller

_MINUTE = 60.0
_HEADER = "anthropic-ratelimit-requests-"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left of a quota of requests."""

    limit: int
    remaining: int
    reset_at: datetime
    """When all of it is there again, if nothing more is sent."""

    def headers(self) -> dict[str, str]:
        """As the API says it."""
        values = {
            "limit": str(self.limit),
            "remaining": str(self.remaining),
            # Whole seconds, and never too early.
            "reset": clock.isoformat((self.reset_at + timedelta(microseconds=999_999)).replace(microsecond=0)),
        }
        return {f"{_HEADER}{name}": value for name, value in values.items()}


class RateLimits:
    """Counts the requests of the last minute. A refused one does not count."""

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, caller: Caller) -> None:
        """Count a request. Raises `RateLimited` with the seconds until the next one has a place."""
        limited = _limited(caller)
        for kind, owner, limit in limited:
            recent, now = self._window(owner), self._now()
            if len(recent) >= limit:
                # The quota may have been lowered: then more than the oldest have to go.
                wait = recent[-limit] + _MINUTE - now if limit else _MINUTE
                raise RateLimited(f"This {kind} may send {limit} requests a minute; try again later", retry_after=wait)
        for _, owner, _ in limited:
            self._recent[owner].append(self._now())

    def standing(self, caller: Caller) -> Standing | None:
        """Of the quota that is nearest to its end. None: the caller has none."""
        found = [self._standing(owner, limit) for _, owner, limit in _limited(caller)]
        return min(found, key=lambda standing: (standing.remaining, -standing.reset_at.timestamp()), default=None)

    def _standing(self, owner: str, limit: int) -> Standing:
        recent = self._window(owner)
        full_in = recent[-1] + _MINUTE - self._now() if recent else 0.0
        return Standing(limit, max(limit - len(recent), 0), clock.now() + timedelta(seconds=full_in))

    def _window(self, owner: str) -> deque[float]:
        recent, now = self._recent[owner], self._now()
        while recent and recent[0] <= now - _MINUTE:
            recent.popleft()
        return recent


def _limited(caller: Caller) -> list[tuple[str, str, int]]:
    return [
        (kind, owner, limit)
        for kind, owner, quotas in caller.limits
        if (limit := quotas.requests_per_minute) is not None
    ]
