"""Whether one more container may be awake. Decisions only: `room.py` does what follows from them.

An awake container may grow up to its limit at any moment, but few do, and hardly ever all at once. So of what each may
still take, one part in `overcommit` is held ready. With an overcommit of 1 the limits of all that are awake fit into
the machine's memory together.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """One awake container, in bytes."""

    in_use: int
    limit: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a host holds its awake containers to."""

    places: int
    reserve_bytes: int
    """Of the machine's memory, left to all else."""
    overcommit: float


def refusal(bounds: Bounds, awake: Sequence[Use], *, limit: int, available: int) -> str:
    """Why there is no room for one more with this limit. Empty if there is.

    `awake` has those that are starting too, of which nothing is in use yet. `available` is the machine's memory that
    nobody uses, in bytes.
    """
    if len(awake) >= bounds.places:
        return f"this host has its {bounds.places} containers already"
    promised = sum(max(use.limit - use.in_use, 0) for use in awake) / bounds.overcommit
    needed = promised + limit / bounds.overcommit + bounds.reserve_bytes
    if needed > available:
        return f"{_mib(available)} of this host's memory are available, and {_mib(needed)} are needed for one more"
    return ""


def is_short(bounds: Bounds, available: int) -> bool:
    """Whether even what is awake takes too much: then idle ones go to sleep before their time."""
    return available < bounds.reserve_bytes


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
