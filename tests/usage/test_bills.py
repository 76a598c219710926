"""What a month costs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from codecove.store.database import Database
from codecove.store.tables import ContainerSessionRow
from codecove.usage.query import Span
from codecove.usage.report import Reports
from codecove.usage.sums import Prices
from codecove.workspaces import DEFAULT_WORKSPACE_ID

HOUR = 3600 * 1_000_000


async def add(database: Database, *sessions: tuple[datetime, int]) -> None:
    async with database.write() as session:
        for number, (moment, microseconds) in enumerate(sessions):
            session.add(
                ContainerSessionRow(
                    id=f"{number}",
                    workspace_id=DEFAULT_WORKSPACE_ID,
                    container_id="container_one",
                    key_id="apikey_one",
                    started_at=moment,
                    used_until=moment + timedelta(microseconds=microseconds),
                    billed_microseconds=microseconds,
                )
            )


async def test_free_hours_are_of_each_month_whatever_the_span(database: Database) -> None:
    await add(
        database,
        (datetime(2026, 6, 30, 23, 59, tzinfo=UTC), 30 * HOUR),
        (datetime(2026, 7, 1, tzinfo=UTC), HOUR),
        (datetime(2026, 7, 31, tzinfo=UTC), 20 * HOUR),
        (datetime(2026, 8, 1, tzinfo=UTC), HOUR),
    )
    reports = Reports(database, Prices(hour=Decimal("0.05"), free_hours=Decimal(10)))
    day = Span(datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC), DEFAULT_WORKSPACE_ID)
    (july,) = (await reports.make(day, ["day"])).bills
    assert (july["month"], july["session_seconds"], july["billed_seconds"]) == ("2026-07", 21 * 3600, 11 * 3600)
    assert july["cost_usd"] == "0.550000"
    year = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC), DEFAULT_WORKSPACE_ID)
    bills = (await reports.make(year, [])).bills
    assert [(bill["month"], bill["cost_usd"]) for bill in bills] == [
        ("2026-06", "1.000000"),
        ("2026-07", "0.550000"),
        ("2026-08", "0.000000"),
    ]


@pytest.mark.parametrize("microseconds", [0, 1, 300_000_000, 10**15])
def test_what_is_free_and_what_is_billed_is_all(microseconds: int) -> None:
    bill = Prices(free_hours=Decimal("0.5")).bill(microseconds)
    assert Decimal(str(bill["free_seconds"])) + Decimal(str(bill["billed_seconds"])) == Decimal(microseconds) / 10**6
