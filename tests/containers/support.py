from sqlalchemy import select

from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.store.tables import ContainerEventRow, ExecutionRow
from codecove.workspaces import Caller


async def use(containers: Containers, caller: Caller, container_id: str | None = None) -> str:
    """One request that runs something; returns the id of its container."""
    async with containers.lease(caller, container_id) as lease:
        return (await lease.container()).id


async def history(database: Database, container_id: str) -> list[tuple[str, str]]:
    """The states that a container has been in, with the reasons."""
    async with database.read() as session:
        events = await session.scalars(
            select(ContainerEventRow)
            .where(ContainerEventRow.container_id == container_id)
            .order_by(ContainerEventRow.sequence)
        )
        return [(event.state, event.reason) for event in events]


async def executions(database: Database) -> list[ExecutionRow]:
    async with database.read() as session:
        return list(await session.scalars(select(ExecutionRow).order_by(ExecutionRow.started_at)))
