"""cove audit: who did what, and what was executed."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.database import DataDir, with_database
from codecove.store.audit import Act, Audit, Span
from codecove.store.database import Database
from codecove.store.workspaces import Workspaces

_Moment = Annotated[datetime | None, typer.Option(help="A day, or a moment, in UTC.")]


def audit(
    since: _Moment = None,
    until: _Moment = None,
    workspace: Annotated[str | None, typer.Option(help="Only what concerns this workspace: a name or an id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many entries: the newest.")] = 100,
    executions: Annotated[bool, typer.Option(help="Also what was executed.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the audit log: administrative acts and executions, who and when. Works while the server runs.

    Code is not kept; an execution has the SHA-256 of the code (of a command, of an editor call's JSON).
    """

    async def find(database: Database) -> list[Act]:
        of = None if workspace is None else (await Workspaces(database).get(workspace)).id
        span = Span(since=_utc(since), until=_utc(until), workspace_id=of)
        return list(await Audit(database).newest(span, limit, executions=executions))

    acts = with_database(data_dir, find)
    if as_json:
        for act in acts:
            typer.echo(json.dumps(act.to_dict(), ensure_ascii=False))
        return
    table = Table("When (UTC)", "Who", "What", "To", "More")
    for act in acts:
        more = ", ".join(f"{name} {value}" for name, value in act.details.items() if value is not None)
        table.add_row(f"{act.at:%Y-%m-%d %H:%M:%S}", act.actor, act.action, act.target, more)
    Console().print(table)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
