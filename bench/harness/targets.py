"""What is to be reached on 2 cores with gVisor and all limits on, and whether it was."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SYSTEM = "runsc"


@dataclass(frozen=True, slots=True)
class Target:
    """One figure and its bound."""

    row: str
    bound: float
    statistic: str = ""
    """`median` or `p99` of times in milliseconds; empty for a number."""
    at_least: bool = False


TARGETS = (
    Target("bash echo hi, tight", 6, "median"),
    Target("bash echo hi, tight", 40, "p99"),
    Target("bash echo hi, think", 14, "median"),
    Target("bash echo hi, think", 40, "p99"),
    Target("python print(1), think", 22, "median"),
    Target("pandas group-by, think", 70, "median"),
    Target("container from the pool, first bash echo hi, tight", 20, "median"),
    Target("container from the pool, first bash echo hi, think", 20, "median"),
    Target("new container, first bash echo hi, tight", 160, "median"),
    Target("new container, first bash echo hi, think", 160, "median"),
    Target("new container, first pandas group-by, tight", 300, "median"),
    Target("new container, first pandas group-by, think", 300, "median"),
    Target("wake, first bash echo hi, tight", 220, "median"),
    Target("wake, first bash echo hi, think", 220, "median"),
    Target("delete", 40, "median"),
    Target("memory of an idle container (MiB PSS)", 28),
    Target("CPU of an idle container (% of a core)", 0.01),
    Target("processes of a sleeping container", 0),
    Target("memory of a sleeping container (MiB PSS)", 0),
    Target("60 containers, 8 clients (errors)", 0),
    Target("60 containers, 8 clients (executions/s)", 150, at_least=True),
    *(Target(f"{name}, 10 to 200 asleep (times as long)", 1.5) for name in ("new", "echo", "sleep", "wake", "delete")),
    *(Target(f"{name}, 10 to 60 awake (times as long)", 1.5) for name in ("new", "echo", "sleep", "wake", "delete")),
    Target("HTTP adds, tight (ms, median)", 3),
    Target("HTTP adds, think (ms, median)", 3),
)
"""A third more or less is noise when medians of a few are compared: flat is what takes less than half as long again."""


def verdicts(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each target with what was measured (None: it was not) and whether that meets it."""
    for target in TARGETS:
        if target.statistic:
            value = report["milliseconds"].get(target.row, {}).get(SYSTEM, {}).get(target.statistic)
        else:
            value = report["numbers"].get(target.row, {}).get(SYSTEM)
        met = None
        if value is not None:
            met = value >= target.bound if target.at_least else value <= target.bound
        yield {
            "what": f"{target.row}, {target.statistic}" if target.statistic else target.row,
            "target": f"{'at least' if target.at_least else 'at most'} {target.bound:g}",
            "measured": value,
            "met": met,
        }
