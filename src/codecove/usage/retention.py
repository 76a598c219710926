"""The end of the meter's rows: of the days whose time is over only the sums stay."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import clock
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerSessionRow, ExecutionRow, UsageDayRow
from codecove.usage.query import DIMENSIONS, Span, within
from codecove.usage.report import sums_of_rows
from codecove.usage.sums import Sums

_DAY = timedelta(days=1)

log = structlog.get_logger(__name__)


class Retention:
    """Takes away rows after `days` whole days."""

    def __init__(self, *, database: Database, days: int, now: Callable[[], datetime] = clock.now) -> None:
        self._database = database
        self._days = days
        self._now = now

    async def sweep(self) -> int:
        """Put the sums of each day that is due in place of its rows. Returns how many days there were."""
        end = _midnight(self._now()) - self._days * _DAY
        count, day = 0, await self._oldest()
        while day is not None and day + _DAY <= end:
            await self._sum_up(Span(day, day + _DAY, None))
            count += 1
            day = await self._oldest(day + _DAY)
        if count:
            log.info("old usage summed up", days=count)
        return count

    @to_the_end
    async def _oldest(self, since: datetime | None = None) -> datetime | None:
        """The first day that has rows."""
        found = []
        async with self._database.read() as session:
            for table in (ExecutionRow, ContainerSessionRow):
                query = select(func.min(table.started_at))
                if since is not None:
                    query = query.where(table.started_at >= since)
                found.append(await session.scalar(query))
        return min((_midnight(moment) for moment in found if moment is not None), default=None)

    @to_the_end
    async def _sum_up(self, span: Span) -> None:
        """In one transaction, so that a report has each row or its part of the sum, never both."""
        async with self._database.write() as session:
            running = select(ExecutionRow.id).where(
                *within(span, ExecutionRow.started_at.expression, ExecutionRow.workspace_id.expression),
                ExecutionRow.finished_at.is_(None),
            )
            if await session.scalar(running.limit(1)) is not None:
                return
            for group, sums in (await sums_of_rows(session, span, DIMENSIONS)).items():
                await _add(session, group, sums)
            for table in (ExecutionRow, ContainerSessionRow):
                await session.execute(delete(table).where(table.started_at >= span.start, table.started_at < span.end))


async def _add(session: AsyncSession, group: tuple[str, ...], sums: Sums) -> None:
    day, workspace_id, key_id, tool = group
    row = await session.get(UsageDayRow, group, with_for_update=True)
    if row is None:
        row = UsageDayRow(day=day, workspace_id=workspace_id, key_id=key_id, tool=tool)
        session.add(row)
    else:
        sums = sums.plus(Sums.of(getattr(row, name) for name in Sums.__slots__))
    for name in Sums.__slots__:
        setattr(row, name, getattr(sums, name))
    await session.flush()


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
