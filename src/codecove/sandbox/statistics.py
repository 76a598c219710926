"""What a host says of itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from codecove.sandbox.lifecycle import State

Failure = Literal["boot", "wake", "sleep", "crash", "lost", "no_room"]
"""What went wrong: `crash` is a sandbox that died while it was awake, `lost` a container that can't come back,
`no_room` a request that waited for room in vain."""


@dataclass(slots=True)
class Counts:
    """Since the host was opened."""

    boots: int = 0
    """Fresh sandboxes for containers and for the pool. A container that wakes with its files only is none of them."""
    wakes: int = 0
    sleeps: int = 0
    pool_hits: int = 0
    pool_misses: int = 0
    """Containers of the default limits that were asked for and were not in the pool; none without a pool."""
    failures: Counter[Failure] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """Counts since the host was opened, and how things are at this moment."""

    counts: Counts
    containers: Mapping[State, int]
    """By state. Those of the pool are not among them."""
    pool_size: int
    pool_wanted: int
    waiting: int
    """Callers that wait for room."""
    available_memory: int
    """Bytes that the machine can still give."""
