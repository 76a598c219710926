"""How many requests a workspace sends in a minute, held to its quota."""

from collections import defaultdict, deque
from collections.abc import Callable

from codecove import clock
from codecove.errors import RateLimited
from codecove.workspaces import Caller

_MINUTE = 60.0


class RateLimits:
    """Counts the requests of each workspace over the last minute. A refused one does not count."""

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, caller: Caller) -> None:
        """Count a request. Raises `RateLimited` with the seconds until the next one has a place."""
        limit = caller.quotas.requests_per_minute
        if limit is None:
            return
        now, recent = self._now(), self._recent[caller.workspace_id]
        while recent and recent[0] <= now - _MINUTE:
            recent.popleft()
        if len(recent) >= limit:
            # The quota may have been lowered: then more than the oldest have to go.
            wait = recent[-limit] + _MINUTE - now if limit else _MINUTE
            raise RateLimited(f"This workspace may send {limit} requests a minute; try again later", retry_after=wait)
        recent.append(now)
