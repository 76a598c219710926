"""The end of what is known of containers that have ended."""

from datetime import datetime

from sqlalchemy import delete, exists, select

from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import CallRow, ContainerEventRow, ContainerFileRow, ContainerRow, ExecutionRow

_AT_ONCE = 200
"""Few enough that requests wait for such a transaction only for moments."""


async def forget_ended(database: Database, before: datetime) -> None:
    """Remove the rows of containers that ended before that moment.

    Those of which there are still executions stay: the meter keeps these for as long as its own retention says.
    """
    while await _forget_some(database, before):
        pass


@to_the_end
async def _forget_some(database: Database, before: datetime) -> int:
    async with database.write() as session:
        ended = list(
            await session.scalars(
                select(ContainerRow.id)
                .where(
                    ContainerRow.ended_at < before,
                    ContainerRow.state != "running",
                    ~exists().where(ExecutionRow.container_id == ContainerRow.id),
                )
                .limit(_AT_ONCE)
            )
        )
        for table in (ContainerEventRow, ContainerFileRow, CallRow):
            await session.execute(delete(table).where(table.container_id.in_(ended)))
        await session.execute(delete(ContainerRow).where(ContainerRow.id.in_(ended)))
        return len(ended)
