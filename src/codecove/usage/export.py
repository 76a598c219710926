"""The rows themselves, oldest first, so that anybody can add them up."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import and_, or_, select

from codecove.clock import isoformat
from codecove.errors import InvalidRequest
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerSessionRow, ExecutionRow
from codecove.usage.query import MAX_LIMIT, Span, page_token, place_of, within
from codecove.usage.sums import seconds

What = Literal["executions", "sessions"]


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows, in wire form."""

    data: Sequence[dict[str, Any]]
    next_page: str | None

    def to_wire(self) -> dict[str, Any]:
        """The list object."""
        return {"data": list(self.data), "has_more": self.next_page is not None, "next_page": self.next_page}


class Export:
    """Reads rows, a page at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def page(self, what: What, span: Span, *, limit: int, page: str | None) -> RowPage:
        """The rows that follow a page, or the first ones. Raises `InvalidRequest`."""
        table: Any = _TABLES[what]
        conditions = within(span, table.started_at, table.workspace_id)
        if page is not None:
            moment, row_id = _place(page)
            conditions.append(or_(table.started_at > moment, and_(table.started_at == moment, table.id > row_id)))
        query = select(table).where(*conditions).order_by(table.started_at, table.id).limit(limit + 1)
        async with self._database.read() as session:
            found = list((await session.scalars(query)).all())
        rows = found[:limit]
        more = len(found) > limit
        return RowPage(
            [_WIRE[what](row) for row in rows],
            page_token((rows[-1].started_at.isoformat(), rows[-1].id)) if more else None,
        )

    async def all(self, what: What, span: Span) -> AsyncGenerator[dict[str, Any], None]:
        """Every row of the span."""
        page: str | None = None
        while True:
            rows = await self.page(what, span, limit=MAX_LIMIT, page=page)
            for row in rows.data:
                yield row
            if (page := rows.next_page) is None:
                return


def _place(page: str) -> tuple[datetime, str]:
    moment, row_id = place_of(page, 2)
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not (row_id.isascii() and row_id.isalnum()):
        raise InvalidRequest("page: must be the `next_page` of an earlier answer to the same query")
    return found, row_id


def _execution(row: ExecutionRow) -> dict[str, Any]:
    return {
        "type": "execution",
        "id": row.id,
        "workspace_id": row.workspace_id,
        "key_id": row.key_id,
        "container_id": row.container_id,
        "request_id": row.request_id,
        "call_id": row.call_id,
        "tool": row.tool,
        "started_at": isoformat(row.started_at),
        "finished_at": None if row.finished_at is None else isoformat(row.finished_at),
        "seconds": None if row.microseconds is None else seconds(row.microseconds),
        "cpu_seconds": None if row.cpu_microseconds is None else seconds(row.cpu_microseconds),
        "peak_memory_bytes": row.peak_memory_bytes,
        "output_bytes": row.output_bytes,
        "return_code": row.return_code,
        "error_code": row.error_code,
    }


def _session(row: ContainerSessionRow) -> dict[str, Any]:
    return {
        "type": "container_session",
        "id": row.id,
        "workspace_id": row.workspace_id,
        "key_id": row.key_id,
        "container_id": row.container_id,
        "request_id": row.request_id,
        "started_at": isoformat(row.started_at),
        "used_until": isoformat(row.used_until),
        "billed_seconds": seconds(row.billed_microseconds),
    }


_TABLES: dict[What, Any] = {"executions": ExecutionRow, "sessions": ContainerSessionRow}
_WIRE: dict[What, Callable[[Any], dict[str, Any]]] = {"executions": _execution, "sessions": _session}
