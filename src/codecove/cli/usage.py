"""cove usage: what was used, by day, key, workspace and tool."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.client import Client, Json, with_client

_HEADINGS = {
    "executions": "Executions",
    "errors": "Errors",
    "execution_seconds": "Seconds",
    "cpu_seconds": "CPU seconds",
    "sessions": "Sessions",
    "session_seconds": "Session seconds",
}


@with_client
def usage(
    client: Client,
    since: Annotated[
        str | None, typer.Option(help="The first day or moment, such as 2026-07-30. By default the month's first day.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The first day or moment that is not counted any more.")] = None,
    by: Annotated[str, typer.Option(help="Any of day, workspace, key and tool, with commas.")] = "day",
    all_workspaces: Annotated[bool, typer.Option("--all", help="With the key of an admin: of all workspaces.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The sums as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The sums as CSV.")] = False,
) -> None:
    """Show what was used and what it costs: executions, and sessions of containers. Days are those of UTC."""
    given = {"starting_at": since, "ending_at": until, "group_by": by, "workspace": "all" if all_workspaces else None}
    params = {name: value for name, value in given.items() if value is not None}
    if as_csv:
        with client.stream("GET", "/v1/usage", params={**params, "format": "csv"}) as answer:
            for text in answer.iter_text():
                typer.echo(text, nl=False)
        return
    report = _whole(client, params)
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    _show(report)


def _whole(client: Client, params: dict[str, str]) -> Json:
    """All pages as one. The span stays that of the first, so that the totals are those of the rows."""
    report = client.json("GET", "/v1/usage", params={**params, "limit": 1000})
    span = {name: report[name] for name in ("starting_at", "ending_at")}
    while report["has_more"]:
        asked = {**params, **span, "limit": 1000, "page": report["next_page"]}
        following = client.json("GET", "/v1/usage", params=asked)
        report = {**following, "data": [*report["data"], *following["data"]]}
    return report


def _show(report: Json) -> None:
    dimensions: list[str] = report["group_by"]
    table = Table(*(dimension.capitalize() for dimension in dimensions), show_footer=True)
    if dimensions:
        table.columns[0].footer = "Total"
    for name, heading in _HEADINGS.items():
        table.add_column(heading, _number(report["totals"][name]), justify="right")
    for row in report["data"]:
        groups = [str(_named(row, dimension)) for dimension in dimensions]
        table.add_row(*groups, *(_number(row[name]) for name in _HEADINGS))
    console = Console()
    console.print(table)
    for bill in report["billing"]:
        console.print(
            f"{bill['month']} {bill['workspace_name']}: {_number(bill['session_seconds'])} s of sessions, "
            f"{_number(bill['free_seconds'])} s of them free: ${bill['cost_usd']}",
            highlight=False,
        )


def _named(row: Json, dimension: str) -> str:
    if dimension in row:
        return row[dimension] or "-"
    return row[f"{dimension}_name"] or row[f"{dimension}_id"] or "-"


def _number(value: Any) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
