"""When a container expires. Decisions only: what follows from them is done in `fleet.py`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

OnExpired = Literal["tool_error", "http_error", "replace"]
"""What a request gets that names a container which has ended: results that say so, a 404 before anything starts, or
a new container whose first result says that the old one's files are gone."""


@dataclass(frozen=True, slots=True)
class Times:
    """The two moments of a container that its expiry follows from."""

    created_at: datetime
    last_active_at: datetime


@dataclass(frozen=True, slots=True)
class Expiry:
    """The policy in force: a container is gone `idle` after its last activity, and `age` after its creation.

    Whichever comes first. Without `idle` only the age counts.
    """

    idle: timedelta | None
    age: timedelta

    def at(self, times: Times) -> datetime:
        """The moment from which on a container is expired if nothing more happens to it."""
        oldest = times.created_at + self.age
        return oldest if self.idle is None else min(times.last_active_at + self.idle, oldest)

    def is_due(self, times: Times, now: datetime) -> bool:
        return self.at(times) <= now

    def reason(self, times: Times) -> str:
        """What is recorded of a container that expired."""
        if self.idle is not None and times.last_active_at + self.idle <= times.created_at + self.age:
            return f"no activity for {self.idle.total_seconds():.12g} seconds"
        return f"created {self.age.total_seconds():.12g} seconds ago"


def due(running: Iterable[tuple[str, Times]], *, leased: Collection[str], expiry: Expiry, now: datetime) -> list[str]:
    """Which running containers expire now. A leased one never does."""
    return [id_ for id_, times in running if id_ not in leased and expiry.is_due(times, now)]


def sweep_interval(expiry: Expiry) -> float:
    """Seconds between two looks for expired containers: often enough to be at most a tenth late, at most 30."""
    shortest = expiry.age if expiry.idle is None else min(expiry.idle, expiry.age)
    return min(max(shortest.total_seconds() / 10, 0.05), 30.0)
