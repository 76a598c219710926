"""Old rows give way to their sums, and no report changes."""

from datetime import timedelta

from sqlalchemy import func, select

from codecove import ids
from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.store.tables import ContainerSessionRow, ExecutionRow, UsageDayRow
from codecove.usage.query import DIMENSIONS, Span
from codecove.usage.report import Reports
from codecove.usage.retention import Retention
from codecove.usage.sums import Prices
from codecove.workspaces import Caller
from tests.containers.standin import Clock, StandInHost


async def counts(database: Database) -> list[int]:
    async with database.read() as session:
        tables = (ExecutionRow, ContainerSessionRow, UsageDayRow)
        return [await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


async def test_reports_are_the_same_before_and_after_the_rows_have_gone(
    database: Database, host: StandInHost, clock: Clock, caller: Caller, stranger: Caller
) -> None:
    containers = Containers(database=database, host=host, idle_expiry=None, max_age=10**8, now=clock)
    begun = clock.now
    for day in range(6):
        for who in (caller, stranger):
            async with containers.lease(who, None) as lease:
                for tool in ("bash", "editor"):
                    async with lease.execution(ids.new("srvtoolu"), tool) as record:
                        record.microseconds, record.peak_memory_bytes = 10**day + 1, day
        clock.advance(86_400)
    retention = Retention(database=database, days=3, now=clock)
    reports, span = (
        Reports(database, Prices()),
        Span(begun.replace(hour=0, minute=0, second=0, microsecond=0), clock.now, None),
    )
    before = [await reports.make(span, DIMENSIONS[:count]) for count in range(5)]
    assert await counts(database) == [24, 12, 0]
    assert await retention.sweep() == 3
    assert await counts(database) == [12, 6, 18]
    assert await retention.sweep() == 0
    assert [await reports.make(span, DIMENSIONS[:count]) for count in range(5)] == before
    later = Span(span.start + timedelta(days=1), span.end, caller.workspace_id)
    assert sum(sums.executions for sums in (await reports.make(later, ["day"])).groups.values()) == 10


async def test_a_day_of_which_something_runs_still_waits(
    database: Database, host: StandInHost, clock: Clock, caller: Caller
) -> None:
    containers = Containers(database=database, host=host, idle_expiry=None, max_age=10**8, now=clock)
    retention = Retention(database=database, days=2, now=clock)
    async with containers.lease(caller, None) as lease, lease.execution(ids.new("srvtoolu"), "bash"):
        clock.advance(5 * 86_400)
        await retention.sweep()
        assert await counts(database) == [1, 1, 0]
    await retention.sweep()
    assert await counts(database) == [0, 0, 2]
