"""The audit log: who did what to whose keys, workspaces and containers, and what was executed.

An administrative act is a row that is written in the transaction of the act itself: there is neither an act without
its row nor a row without its act. Executions have rows of their own, which the log shows among the others.
"""

import json
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import clock
from codecove.store.database import ACTOR, SERVER, Database
from codecove.store.finish import to_the_end
from codecove.store.tables import AuditRow, ExecutionRow
from codecove.workspaces import Caller

EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Act:
    """One entry of the log."""

    at: datetime
    actor: str
    """The id of a key, `user NAME` for a command on the machine, or `server`."""
    action: str
    """`key.create`, `workspace.change`, `execution` …"""
    target: str
    """The id of what it was done to; of an execution, its container."""
    workspace_id: str | None
    request_id: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    """More about it; never a secret, code, or the content of a file. Of an execution, the SHA-256 of its input."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        known = {
            "at": clock.isoformat(self.at),
            "actor": self.actor,
            "action": self.action,
            "target": self.target,
            "workspace_id": self.workspace_id,
            "request_id": self.request_id,
        }
        return {**known, **self.details}


@dataclass(frozen=True, slots=True)
class Span:
    """Which entries: from `since`, before `until`, of one workspace. None: no bound."""

    since: datetime | None = None
    until: datetime | None = None
    workspace_id: str | None = None


def command_line_user() -> str:
    """The actor of a command that is run on the machine: it needs no key, but the right to read the database."""
    uid = os.getuid()
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def note(
    session: AsyncSession,
    action: str,
    target: str,
    *,
    workspace_id: str | None = None,
    caller: Caller | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add an act to the transaction that does it. Without a `caller`, whoever opened the database does it."""
    row = AuditRow(
        at=clock.now(),
        actor=session.info[ACTOR] if caller is None else caller.key_id,
        action=action,
        target=target,
        workspace_id=workspace_id,
        request_id=None if caller is None else caller.request_id,
        details=json.dumps(details or {}, ensure_ascii=False, sort_keys=True),
    )
    session.add(row)


class Audit:
    """Reads the log, and shortens it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def newest(self, span: Span, limit: int, *, executions: bool) -> Sequence[Act]:
        """At most `limit` entries, the newest ones, oldest first; with or without the executions."""
        async with self._database.read() as session:
            rows = await session.scalars(
                select(AuditRow)
                .where(*_within(span, AuditRow.at, AuditRow.workspace_id))
                .order_by(AuditRow.sequence.desc())
                .limit(limit)
            )
            acts = [_act(row) for row in rows]
            if executions:
                ran = await session.scalars(
                    select(ExecutionRow)
                    .where(*_within(span, ExecutionRow.started_at, ExecutionRow.workspace_id))
                    .order_by(ExecutionRow.started_at.desc())
                    .limit(limit)
                )
                acts += [_execution(row) for row in ran]
        return sorted(acts, key=lambda act: act.at)[-limit:]

    @to_the_end
    async def record(self, action: str, target: str, *, details: Mapping[str, Any] | None = None) -> None:
        """Write an act that changes nothing else in the database."""
        async with self._database.write() as session:
            note(session, action, target, details=details)

    @to_the_end
    async def forget(self, before: datetime) -> None:
        """Remove acts from before that moment. Executions go by the retention of the metering."""
        async with self._database.write() as session:
            await session.execute(delete(AuditRow).where(AuditRow.at < before))


def _within(span: Span, at: Any, workspace_id: Any) -> list[ColumnElement[bool]]:
    conditions = []
    if span.since is not None:
        conditions.append(at >= span.since)
    if span.until is not None:
        conditions.append(at < span.until)
    if span.workspace_id is not None:
        conditions.append(workspace_id == span.workspace_id)
    return conditions


def _act(row: AuditRow) -> Act:
    return Act(row.at, row.actor, row.action, row.target, row.workspace_id, row.request_id, json.loads(row.details))


def _execution(row: ExecutionRow) -> Act:
    details = {
        "tool": row.tool,
        "input_sha256": row.input_sha256,
        "return_code": row.return_code,
        "error_code": row.error_code,
    }
    return Act(
        row.started_at, row.key_id or SERVER, EXECUTION, row.container_id, row.workspace_id, row.request_id, details
    )
