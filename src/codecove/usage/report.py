"""Reports: what was used in a span of time, by day, workspace, key and tool, and what it costs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import clock
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerSessionRow, ExecutionRow, KeyRow, UsageDayRow, WorkspaceRow
from codecove.usage.query import DIMENSIONS, Dimension, Span, page_token, place_of, utc_day, within
from codecove.usage.sums import Prices, Sums

Group = tuple[str, ...]
"""One value for each of the dimensions asked for, in their order; empty: not known, or it has none."""


@dataclass(frozen=True, slots=True)
class Report:
    """The groups of a span, in order."""

    span: Span
    dimensions: Sequence[Dimension]
    groups: Mapping[Group, Sums]
    names: Mapping[str, str]
    """Of workspaces and keys, by their ids."""
    bills: Sequence[dict[str, Any]]

    @property
    def columns(self) -> list[str]:
        """The fields of a row, in their order."""
        return list(self._row(("",) * len(self.dimensions), Sums()))

    def rows(self) -> list[dict[str, Any]]:
        """Each group, flat."""
        return [self._row(group, sums) for group, sums in self.groups.items()]

    def to_wire(self, *, limit: int, page: str | None) -> dict[str, Any]:
        """A page of the groups; totals and bills are of all of them. Raises `InvalidRequest`."""
        after = () if page is None else place_of(page, len(self.dimensions))
        left = [group for group in self.groups if page is None or group > after]
        shown = left[:limit]
        totals = Sums()
        for sums in self.groups.values():
            totals = totals.plus(sums)
        return {
            "starting_at": clock.isoformat(self.span.start),
            "ending_at": clock.isoformat(self.span.end),
            "group_by": list(self.dimensions),
            "data": [self._row(group, self.groups[group]) for group in shown],
            "has_more": len(left) > len(shown),
            "next_page": page_token(shown[-1]) if len(left) > len(shown) else None,
            "totals": totals.to_wire(),
            "billing": list(self.bills),
        }

    def _row(self, group: Group, sums: Sums) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for dimension, value in zip(self.dimensions, group, strict=True):
            if dimension in ("workspace", "key"):
                row[f"{dimension}_id"] = value or None
                row[f"{dimension}_name"] = self.names.get(value)
            else:
                row[dimension] = value or None
        return row | sums.to_wire()


class Reports:
    """Makes reports from the rows, and from the sums of the days whose rows are gone."""

    def __init__(self, database: Database, prices: Prices) -> None:
        self._database = database
        self._prices = prices

    @to_the_end
    async def make(self, span: Span, dimensions: Sequence[Dimension]) -> Report:
        """The report of one moment: all of it is read in one transaction."""
        ordered = [dimension for dimension in DIMENSIONS if dimension in dimensions]
        async with self._database.read() as session:
            groups = await _groups(session, span, ordered)
            months = await _months(session, span)
            names = await _names(session)
        return Report(
            span=span,
            dimensions=ordered,
            groups=dict(sorted(groups.items())),
            names=names,
            bills=[
                {"month": month, "workspace_id": owner, "workspace_name": names.get(owner), **self._prices.bill(time)}
                for (month, owner), time in sorted(months.items())
            ],
        )


async def sums_of_rows(session: AsyncSession, span: Span, dimensions: Sequence[Dimension]) -> dict[Group, Sums]:
    """The groups of the executions and sessions whose rows are there."""
    return await _sums(session, dimensions, _executions(span), _sessions(span))


async def _groups(session: AsyncSession, span: Span, dimensions: Sequence[Dimension]) -> dict[Group, Sums]:
    return await _sums(session, dimensions, _executions(span), _sessions(span), _days(span))


async def _sums(session: AsyncSession, dimensions: Sequence[Dimension], *sources: "_Source") -> dict[Group, Sums]:
    groups: defaultdict[Group, Sums] = defaultdict(Sums)
    for columns, sums, conditions in sources:
        wanted = [columns[dimension] for dimension in dimensions if dimension in columns]
        query = select(*wanted, *sums).where(and_(*conditions)).group_by(*wanted)
        for row in await session.execute(query):
            values, found = iter(row), Sums.of(row[len(wanted) :])
            if found != Sums():
                group = tuple((next(values) or "") if dimension in columns else "" for dimension in dimensions)
                groups[group] = groups[group].plus(found)
    return groups


_Source = tuple[Mapping[Dimension, Any], list[ColumnElement[Any]], list[ColumnElement[bool]]]
"""The columns of the dimensions that there are, the sums in the order of `Sums`, and which rows."""


def _executions(span: Span) -> _Source:
    row = ExecutionRow
    return (
        {"day": utc_day(row.started_at), "workspace": row.workspace_id, "key": row.key_id, "tool": row.tool},
        [
            func.count(row.id),
            func.count(row.error_code),
            func.sum(row.microseconds),
            func.sum(row.cpu_microseconds),
            func.max(row.peak_memory_bytes),
            func.sum(row.output_bytes),
            literal(0),
            literal(0),
        ],
        within(span, row.started_at.expression, row.workspace_id.expression),
    )


def _sessions(span: Span) -> _Source:
    row = ContainerSessionRow
    return (
        {"day": utc_day(row.started_at), "workspace": row.workspace_id, "key": row.key_id},
        [*(literal(0) for _ in range(6)), func.count(row.id), func.sum(row.billed_microseconds)],
        within(span, row.started_at.expression, row.workspace_id.expression),
    )


def _days(span: Span) -> _Source:
    row, (first, last) = UsageDayRow, span.days
    conditions: list[ColumnElement[bool]] = [row.day >= first, row.day <= last]
    if span.workspace_id is not None:
        conditions.append(row.workspace_id == span.workspace_id)
    sums: list[ColumnElement[Any]] = [
        func.max(row.peak_memory_bytes) if name == "peak_memory_bytes" else func.sum(getattr(row, name))
        for name in Sums.__slots__
    ]
    return {"day": row.day, "workspace": row.workspace_id, "key": row.key_id, "tool": row.tool}, sums, conditions


async def _months(session: AsyncSession, span: Span) -> dict[tuple[str, str], int]:
    """Microseconds of sessions by month and workspace, for each calendar month that the span touches."""
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    last = max(span.end - timedelta(microseconds=1), span.start)
    whole = Span(_month(span.start), _month(last, ahead=True), span.workspace_id)
    sessions = await _sums(session, ["day", "workspace"], _sessions(whole), _days(whole))
    for (day, owner), sums in sessions.items():
        if sums.sessions:
            found[day[:7], owner] += sums.session_microseconds
    return found


def _month(moment: datetime, *, ahead: bool = False) -> datetime:
    """The beginning of the moment's month, or of the next."""
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if not ahead:
        return first
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


async def _names(session: AsyncSession) -> dict[str, str]:
    names = {}
    for table in (WorkspaceRow, KeyRow):
        names.update({row.id: row.name for row in await session.execute(select(table.id, table.name))})
    return names
