"""Sums of executions and sessions. All are whole numbers: whoever adds the rows gets the same."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from decimal import Decimal
from typing import Any, Self

_HOUR = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Sums:
    """What was used; the fields are columns of `usage_days` too."""

    executions: int = 0
    errors: int = 0
    """Executions with an error code. A command that fails by itself is none."""
    microseconds: int = 0
    cpu_microseconds: int = 0
    peak_memory_bytes: int = 0
    """The highest of all executions."""
    output_bytes: int = 0
    sessions: int = 0
    session_microseconds: int = 0
    """Billed."""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """From a row of a database, whose sums may be decimals, or null."""
        return cls(*(int(value or 0) for value in values))

    def plus(self, other: "Sums") -> "Sums":
        added = Sums(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))
        peak = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return Sums(**{**{name: getattr(added, name) for name in Sums.__slots__}, "peak_memory_bytes": peak})

    def to_wire(self) -> dict[str, Any]:
        """Times in seconds, exact to the microsecond."""
        return {
            "executions": self.executions,
            "errors": self.errors,
            "execution_seconds": seconds(self.microseconds),
            "cpu_seconds": seconds(self.cpu_microseconds),
            "peak_memory_bytes": self.peak_memory_bytes,
            "output_bytes": self.output_bytes,
            "sessions": self.sessions,
            "session_seconds": seconds(self.session_microseconds),
        }


@dataclass(frozen=True, slots=True)
class Prices:
    """What container time costs."""

    hour: Decimal = Decimal("0.05")
    """Dollars for an hour of sessions."""
    free_hours: Decimal = Decimal(0)
    """Of each workspace in each calendar month (UTC)."""

    def bill(self, session_microseconds: int) -> dict[str, Any]:
        """The bill of one workspace for one month."""
        free = min(int(self.free_hours * _HOUR), session_microseconds)
        paid = session_microseconds - free
        return {
            "session_seconds": seconds(session_microseconds),
            "free_seconds": seconds(free),
            "billed_seconds": seconds(paid),
            "cost_usd": f"{paid * self.hour / _HOUR:.6f}",
        }


def seconds(microseconds: int) -> float:
    """As numbers of the API are: 15 digits are exact."""
    return microseconds / 1_000_000
