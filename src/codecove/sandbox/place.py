"""Where a container runs."""

from dataclasses import dataclass

from codecove.sandbox.disk_watch import Unwatched
from codecove.sandbox.group import Group
from codecove.sandbox.processors import Seat


@dataclass(frozen=True, slots=True)
class Place:
    """What its processes and its files are held to their limits by."""

    group: Group
    seat: Seat
    disk: Unwatched
