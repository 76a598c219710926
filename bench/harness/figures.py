"""What was measured, kept as it came and summed up at the end."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Figures:
    """Times by what was done and which system did it, and single numbers."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """Milliseconds of each request, by row and system."""
    numbers: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """By row, its unit in brackets, and system."""
    problems: list[str] = field(default_factory=list)
    """What could not be measured, or went wrong while it was."""

    def took(self, row: str, system: str, milliseconds: float) -> None:
        """One request."""
        self.times[row][system].append(milliseconds)

    def report(self) -> dict[str, Any]:
        """All of it, with the times summed up."""
        return {
            "milliseconds": {
                row: {name: summary(values) for name, values in by.items()} for row, by in self.times.items()
            },
            "numbers": {row: dict(by) for row, by in self.numbers.items()},
            "problems": self.problems,
        }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Number, median, p90, p99 and the least."""
    if len(values) == 1:
        return {"n": 1, **dict.fromkeys(("median", "p90", "p99", "least"), values[0])}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "n": len(values),
        "median": statistics.median(values),
        "p90": cuts[89],
        "p99": cuts[98],
        "least": min(values),
    }
