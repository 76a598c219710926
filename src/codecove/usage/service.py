"""The usage of a server: what there is to see of it, and how long its rows stay."""

from typing import Self

from codecove.observe.chores import Chores
from codecove.observe.metrics import Metrics
from codecove.store.database import Database
from codecove.usage.export import Export
from codecove.usage.report import Reports
from codecove.usage.retention import Retention
from codecove.usage.sums import Prices

_INTERVAL = 600.0
"""Seconds between two looks for rows whose time is over."""


class Usage:
    """An async context manager: it sums up old rows until it is left. `retention` is in days; None: rows stay."""

    def __init__(self, database: Database, *, prices: Prices, retention: int | None, metrics: Metrics) -> None:
        self.reports = Reports(database, prices)
        self.rows = Export(database)
        self._retention = None if retention is None else Retention(database=database, days=retention)
        self._chores = Chores(metrics)

    async def __aenter__(self) -> Self:
        await self._chores.__aenter__()
        if self._retention is not None:
            self._chores.every(_INTERVAL, "sum up old usage", self._retention.sweep)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._chores.__aexit__(*exc)
