"""When a container expires. Decisions only: what follows from them is done in `service.py`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Expiry:
    """The policy in force: a container is gone `idle` after its last activity."""

    idle: timedelta

    def at(self, last_active_at: datetime) -> datetime:
        """The moment from which on a container last used at `last_active_at` is expired."""
        return last_active_at + self.idle

    def is_due(self, last_active_at: datetime, now: datetime) -> bool:
        return self.at(last_active_at) <= now

    @property
    def reason(self) -> str:
        """What is recorded of a container that expired."""
        return f"no activity for {self.idle.total_seconds():g} seconds"


def due(
    last_active: Iterable[tuple[str, datetime]], *, leased: Collection[str], expiry: Expiry, now: datetime
) -> list[str]:
    """Which running containers, given by id and last activity, expire now. A leased one never does."""
    return [id_ for id_, moment in last_active if id_ not in leased and expiry.is_due(moment, now)]


def sweep_interval(expiry: Expiry) -> float:
    """Seconds between two looks for expired containers: often enough to be at most a tenth late, at most 30."""
    return min(max(expiry.idle.total_seconds() / 10, 0.05), 30.0)
