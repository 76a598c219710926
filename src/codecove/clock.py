"""Time, from one place, so that a test can hold it still."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never go back; only differences mean anything."""
    return time.monotonic()


def isoformat(moment: datetime) -> str:
    """A moment as the API writes it: `2026-07-30T18:54:08.960841Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
