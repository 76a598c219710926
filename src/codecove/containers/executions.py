"""The record of what ran: a row when a call begins, completed when it ends."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import bindparam, insert, select, update

from codecove.containers.changes import add_call
from codecove.store.database import Change, Database
from codecove.store.finish import to_the_end
from codecove.store.prepared import Prepared, Transaction
from codecove.store.tables import ExecutionRow
from codecove.workspaces import Caller


@dataclass(slots=True)
class ExecutionRecord:
    """What became of a call. Whoever runs the call sets what it knows."""

    input_sha256: str | None = None
    allowed_seconds: float | None = None
    """What the caller's quotas leave for it. None: they say nothing."""
    return_code: int | None = None
    error_code: str | None = None
    """At most one of the two."""
    microseconds: int | None = None
    """Wall clock. None: that of the block is taken."""
    cpu_microseconds: int | None = None
    peak_memory_bytes: int | None = None
    output_bytes: int | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


_OF_ONE = update(ExecutionRow).where(ExecutionRow.id == bindparam("execution"))
_ADD = Prepared(insert(ExecutionRow))
_END = Prepared(_OF_ONE)
_SEE = Prepared(_OF_ONE.where(ExecutionRow.finished_at.is_(None)))


class Executions:
    """The rows of executions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def started(
        self, record: ExecutionRecord, *, caller: Caller, container_id: str, call_id: str, tool: str, now: datetime
    ) -> Change:
        """The change that records that it runs from `now` on."""
        row = {
            "id": record.id,
            "workspace_id": caller.workspace_id,
            "key_id": caller.key_id,
            "request_id": caller.request_id,
            "container_id": container_id,
            "call_id": call_id,
            "tool": tool,
            "input_sha256": record.input_sha256,
            "started_at": now,
            "seen_at": now,
        }

        def start(transaction: Transaction) -> None:
            transaction.run(_ADD, row)
            # A client that loses the answer in the middle knows the call, and may not know the container.
            add_call(call_id, container_id)(transaction)

        return start

    def ended(self, record: ExecutionRecord, now: datetime) -> Change:
        """The change that records that it has ended; the record says how."""
        row = {
            "execution": record.id,
            "finished_at": now,
            "microseconds": record.microseconds,
            "cpu_microseconds": record.cpu_microseconds,
            "peak_memory_bytes": record.peak_memory_bytes,
            "output_bytes": record.output_bytes,
            "return_code": record.return_code,
            "error_code": record.error_code,
        }

        return lambda transaction: transaction.run(_END, row)

    def seen(self, execution_ids: Collection[str], now: datetime) -> Change:
        """The change that records that they are running at `now`."""
        # In one order, so that two transactions never wait for each other.
        rows = [{"execution": execution_id, "seen_at": now} for execution_id in sorted(execution_ids)]

        def see(transaction: Transaction) -> None:
            for row in rows:
                transaction.run(_SEE, row)

        return see

    @to_the_end
    async def interrupt_unfinished(self) -> None:
        """Close those that were running when the server last stopped: nobody will end them now.

        They ran until they were last seen, and at most so much longer as the server takes to look again.
        """
        unfinished = select(ExecutionRow).where(ExecutionRow.finished_at.is_(None))
        async with self._database.write() as session:
            for row in await session.scalars(unfinished):
                row.error_code = row.error_code or "interrupted"
                row.finished_at = max(row.seen_at or row.started_at, row.started_at)
                row.microseconds = (row.finished_at - row.started_at) // timedelta(microseconds=1)
