"""The record of what ran: a row when a call begins, completed when it ends."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Update, update

from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import CallRow, ContainerRow, ExecutionRow
from codecove.workspaces import Caller


@dataclass(slots=True)
class ExecutionRecord:
    """What became of a call. Whoever runs the call sets one of the two."""

    return_code: int | None = None
    error_code: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Executions:
    """The rows of executions. Both ends of an execution count as activity of its container."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def start(
        self, record: ExecutionRecord, *, caller: Caller, container_id: str, call_id: str, tool: str, now: datetime
    ) -> None:
        """It runs from `now` on."""
        async with self._database.write() as session:
            session.add(
                ExecutionRow(
                    id=record.id,
                    workspace_id=caller.workspace_id,
                    container_id=container_id,
                    call_id=call_id,
                    tool=tool,
                    started_at=now,
                )
            )
            # A client that loses the answer in the middle knows the call, and may not know the container.
            await session.merge(CallRow(call_id=call_id, container_id=container_id))
            await session.execute(_activity(container_id, now))

    @to_the_end
    async def end(self, record: ExecutionRecord, *, container_id: str, seconds: float, now: datetime) -> None:
        """It has ended, after `seconds` of wall clock."""
        async with self._database.write() as session:
            await session.execute(
                update(ExecutionRow)
                .where(ExecutionRow.id == record.id)
                .values(finished_at=now, seconds=seconds, return_code=record.return_code, error_code=record.error_code)
            )
            await session.execute(_activity(container_id, now))

    @to_the_end
    async def interrupt_unfinished(self) -> None:
        """Mark those that were running when the server last stopped: nobody will end them now."""
        async with self._database.write() as session:
            await session.execute(
                update(ExecutionRow)
                .where(ExecutionRow.finished_at.is_(None), ExecutionRow.error_code.is_(None))
                .values(error_code="interrupted")
            )


def _activity(container_id: str, now: datetime) -> Update:
    return (
        update(ContainerRow)
        .where(ContainerRow.id == container_id, ContainerRow.state == "running")
        .values(last_active_at=now)
    )
