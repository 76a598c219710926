"""cove workspaces: make and list workspaces, and say what each may use. Works while the server runs."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.database import DataDir, with_database
from codecove.store.workspaces import Workspace, Workspaces
from codecove.workspaces import Quotas

app = typer.Typer(
    name="workspaces",
    help="Make and list workspaces, and say what each may use. Files, containers and keys belong to one.",
    no_args_is_help=True,
)

_NEVER = "never"
_Quota = Annotated[str | None, typer.Option(help="A number, or `never` for no limit but the server's.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    containers: _Quota = None,
    executions: _Quota = None,
    requests_per_minute: _Quota = None,
    data_dir: DataDir = None,
) -> None:
    """Make a workspace. `cove keys create --workspace NAME` makes a key for it."""
    quotas = _changed(Quotas(), containers, executions, requests_per_minute)
    made = with_database(data_dir, lambda database: Workspaces(database).create(name, quotas))
    _show([made])


@app.command("list")
def list_workspaces(data_dir: DataDir = None) -> None:
    """List the workspaces with their quotas: containers and executions at once, and requests a minute."""
    _show(with_database(data_dir, lambda database: Workspaces(database).list()))


@app.command("set")
def set_quotas(
    workspace: Annotated[str, typer.Argument(help="Its name or id.")],
    containers: _Quota = None,
    executions: _Quota = None,
    requests_per_minute: _Quota = None,
    data_dir: DataDir = None,
) -> None:
    """Change the quotas that are given, from now on, also for a server that runs."""
    before = with_database(data_dir, lambda database: Workspaces(database).get(workspace))
    quotas = _changed(before.quotas, containers, executions, requests_per_minute)
    _show([with_database(data_dir, lambda database: Workspaces(database).set_quotas(workspace, quotas))])


def _changed(quotas: Quotas, containers: str | None, executions: str | None, requests_per_minute: str | None) -> Quotas:
    return Quotas(
        containers=_limit("--containers", containers, quotas.containers),
        executions=_limit("--executions", executions, quotas.executions),
        requests_per_minute=_limit("--requests-per-minute", requests_per_minute, quotas.requests_per_minute),
    )


def _limit(option: str, given: str | None, before: int | None) -> int | None:
    if given is None:
        return before
    if given == _NEVER:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise typer.BadParameter(f"{option} is a number or `{_NEVER}`, not {given!r}")
    return int(given)


def _show(workspaces: Sequence[Workspace]) -> None:
    table = Table("Id", "Name", "Made", "Containers", "Executions", "Requests a minute")
    for workspace in workspaces:
        quotas = workspace.quotas
        limits = (quotas.containers, quotas.executions, quotas.requests_per_minute)
        shown = [_NEVER if limit is None else str(limit) for limit in limits]
        table.add_row(workspace.id, workspace.name, f"{workspace.created_at:%Y-%m-%d %H:%M}", *shown)
    Console().print(table)
