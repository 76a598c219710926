"""Which containers are frozen, and which go to sleep. Decisions only."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freezing:
    """When an idle container is frozen, in seconds since its last call."""

    after: float = 0.5
    background_grace: float = 300.0
    """The same when its last execution has left something running."""

    def is_due(self, idle: float, *, background: bool) -> bool:
        """Whether one that has been idle for so long is frozen now."""
        return idle >= (self.background_grace if background else self.after)


def due(idle_since: Mapping[str, float], *, now: float, patience: float | None) -> list[str]:
    """Those that have been idle for `patience` seconds, the longest first. None: never."""
    if patience is None:
        return []
    return sorted(
        (id_ for id_, since in idle_since.items() if now - since >= patience), key=lambda id_: idle_since[id_]
    )


def longest_idle(idle_since: Mapping[str, float]) -> str | None:
    """The one that makes room when there is none left. None if all are busy."""
    return min(idle_since, key=lambda id_: idle_since[id_], default=None)


def interval(patience: float) -> float:
    """Seconds between two looks: at most a tenth late, and at most 10."""
    return min(max(patience / 10, 0.05), 10.0)
