"""Pages of a list, newest first, found by the place of one entry in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from codecove.errors import InvalidRequest
from codecove.store.tables import Table

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000

Row = TypeVar("Row", bound=Table)
Cursor = tuple[datetime, str]
"""The place of an entry: its moment, and its id for entries of one moment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of a list: the first `limit`, or those after (older) or just before (newer) one of it."""

    limit: int = DEFAULT_LIMIT
    before_id: str | None = None
    after_id: str | None = None

    def __post_init__(self) -> None:
        """Raises `InvalidRequest`."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit: must be from 1 to {MAX_LIMIT}, not {self.limit}")
        if self.before_id is not None and self.after_id is not None:
            raise InvalidRequest("before_id: may not be given together with after_id")


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, newest first, in wire form."""

    data: list[dict[str, Any]]
    has_more: bool
    """There are more in the direction of the list that was asked for."""

    def to_wire(self) -> dict[str, Any]:
        """The list object, of the same shape as that of the Files API."""
        return {
            "data": self.data,
            "has_more": self.has_more,
            "first_id": self.data[0]["id"] if self.data else None,
            "last_id": self.data[-1]["id"] if self.data else None,
        }


async def fetch(
    session: AsyncSession,
    query: Select[Row],
    asked: Asked,
    moment: InstrumentedAttribute[datetime],
    key: InstrumentedAttribute[str],
    cursor: Cursor | None,
) -> tuple[list[Row], bool]:
    """One page in the order of `moment`, then `key`. Neither ever changes, so pages have no duplicates and no gaps."""
    if cursor is not None:
        query = query.where(_beyond(moment, key, cursor, newer=asked.before_id is not None))
    order = (moment, key) if asked.before_id is not None else (moment.desc(), key.desc())
    found = list(await session.scalars(query.order_by(*order).limit(asked.limit + 1)))
    page = found[: asked.limit]
    return page if asked.before_id is None else page[::-1], len(found) > asked.limit


def _beyond(
    moment: InstrumentedAttribute[datetime], key: InstrumentedAttribute[str], cursor: Cursor, *, newer: bool
) -> ColumnElement[bool]:
    at, id_ = cursor
    if newer:
        return or_(moment > at, and_(moment == at, key > id_))
    return or_(moment < at, and_(moment == at, key < id_))
