"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is empty when there is nothing to do."""

    part: str
    verdict: Verdict
    found: str
    remedy: str = ""


def good(part: str, found: str) -> Finding:
    """It works."""
    return Finding(part, "good", found)


def warning(part: str, found: str, remedy: str) -> Finding:
    """It works, but not as well as it should."""
    return Finding(part, "warning", found, remedy)


def bad(part: str, found: str, remedy: str) -> Finding:
    """The server can't do its work like this."""
    return Finding(part, "bad", found, remedy)
