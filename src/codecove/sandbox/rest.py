"""Which containers are frozen, and which go to sleep. Decisions only."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freezing:
    """When an idle container is frozen, in seconds since its last call."""

    after: float = 0.5
    crowded: float = 0.02
    """The same when more containers are awake than there are processors: under gVisor each takes 1 % of one for
    nothing, and makes those that work slower. Alone it answers sooner if it has not been frozen."""
    background_grace: float = 300.0
    """The same when its last execution has left something running."""

    def patience(self, *, background: bool, crowded: bool) -> float:
        """How long one that is idle is let be."""
        if background:
            return self.background_grace
        return min(self.after, self.crowded) if crowded else self.after


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
