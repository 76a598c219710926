"""What a report is asked for, and how the database is asked for it."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from codecove.errors import InvalidRequest

Dimension = Literal["day", "workspace", "key", "tool"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Span:
    """What began from `start` on and before `end`, in one workspace, or in all."""

    start: datetime
    end: datetime
    workspace_id: str | None

    def __post_init__(self) -> None:
        """Raises `InvalidRequest`."""
        if self.end < self.start:
            raise InvalidRequest("ending_at: must not be before starting_at")

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day (`2026-07-30`, UTC) that begin in the span."""
        first = self.start.astimezone(UTC)
        if first != first.replace(hour=0, minute=0, second=0, microsecond=0):
            first += timedelta(days=1)
        return f"{first:%Y-%m-%d}", f"{self.end.astimezone(UTC) - timedelta(microseconds=1):%Y-%m-%d}"


class utc_day(GenericFunction[str]):  # noqa: N801 -- SQL's way to write it
    """The day of a moment, in UTC: `2026-07-30`."""

    type = String()
    inherit_cache = True


@compiles(utc_day, "sqlite")
def _sqlite_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)})"


@compiles(utc_day, "postgresql")
def _postgresql_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


def within(span: Span, moment: ColumnElement[Any], workspace: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """The rows of a span."""
    found: list[ColumnElement[bool]] = [moment >= span.start, moment < span.end]
    return found if span.workspace_id is None else [*found, workspace == span.workspace_id]


def check_limit(limit: int) -> int:
    """Raises `InvalidRequest`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}, not {limit}")
    return limit


def page_token(place: Sequence[str]) -> str:
    """A place in a list, as a client gets it."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).decode().rstrip("=")


def place_of(token: str, length: int) -> tuple[str, ...]:
    """The place that a token is of. Raises `InvalidRequest`."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not (isinstance(found, list) and len(found) == length and all(isinstance(part, str) for part in found)):
        raise InvalidRequest("page: must be the `next_page` of an earlier answer to the same query")
    return tuple(found)
