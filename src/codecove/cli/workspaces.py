"""cove workspaces: make, show, change and delete workspaces. Works while the server runs."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import ByteSize
from rich.console import Console
from rich.table import Table

from codecove.cli.database import DataDir, with_database
from codecove.cli.quotas import HEADINGS, Change, cells, with_quotas
from codecove.store.workspaces import Workspace, Workspaces
from codecove.workspaces import Quotas

app = typer.Typer(
    name="workspaces",
    help="Make, show, change and delete workspaces. Files, containers and keys belong to one.",
    no_args_is_help=True,
)

_Named = Annotated[str, typer.Argument(help="Its name or id.")]


@app.command()
@with_quotas
def create(
    change: Change,
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    data_dir: DataDir = None,
) -> None:
    """Make a workspace. `cove keys create --workspace NAME` makes a key for it."""
    quotas = change(Quotas())
    made = with_database(data_dir, lambda database: Workspaces(database).create(name, quotas))
    _show([made])


@app.command("list")
def list_workspaces(data_dir: DataDir = None) -> None:
    """List the workspaces with their quotas."""
    _show(with_database(data_dir, lambda database: Workspaces(database).list()))


@app.command()
def show(workspace: _Named, data_dir: DataDir = None) -> None:
    """Show a workspace with its quotas, and what its files take."""
    found = with_database(data_dir, lambda database: Workspaces(database).get(workspace))
    _show([found])
    typer.echo(f"Files take {ByteSize(found.stored_bytes).human_readable()} ({found.stored_bytes:,} bytes).")


@app.command("set")
@with_quotas
def set_quotas(change: Change, workspace: _Named, data_dir: DataDir = None) -> None:
    """Change the quotas that are given, from now on, also for a server that runs."""
    _show([with_database(data_dir, lambda database: Workspaces(database).set_quotas(workspace, change))])


@app.command()
def rename(
    workspace: _Named, name: Annotated[str, typer.Argument(help="The new name.")], data_dir: DataDir = None
) -> None:
    """Give a workspace another name. Its id, and all that belongs to it, stay as they are."""
    _show([with_database(data_dir, lambda database: Workspaces(database).rename(workspace, name))])


@app.command()
def delete(
    workspace: _Named,
    force: Annotated[bool, typer.Option("--force", help="Also one that has containers or files.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a workspace with its containers, its files and its keys.

    The keys are useless at once; containers and files go within a minute, or when the server starts. What it has used
    stays on record.
    """
    deleted = with_database(data_dir, lambda database: Workspaces(database).delete(workspace, force=force))
    typer.echo(f"Workspace {deleted.id} ({deleted.name}) is deleted.")


def _show(workspaces: Sequence[Workspace]) -> None:
    table = Table("Id", "Name", "Made", *HEADINGS)
    for workspace in workspaces:
        table.add_row(workspace.id, workspace.name, f"{workspace.created_at:%Y-%m-%d %H:%M}", *cells(workspace.quotas))
    Console().print(table)
