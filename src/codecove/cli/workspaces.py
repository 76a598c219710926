"""cove workspaces: make, show, change and delete workspaces. Works while the server runs."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import ByteSize
from rich.console import Console
from rich.table import Column, Table

from codecove.cli import limits, quotas
from codecove.cli.database import DataDir, with_database
from codecove.cli.limits import checked, summary, with_limits
from codecove.cli.quotas import HEADINGS, cells, with_quotas
from codecove.store.workspaces import Workspace, Workspaces
from codecove.workspaces import ContainerLimits, Quotas

app = typer.Typer(
    name="workspaces",
    help="Make, show, change and delete workspaces. Files, containers and keys belong to one.",
    no_args_is_help=True,
)

_Named = Annotated[str, typer.Argument(help="Its name or id.")]


@app.command()
@with_quotas
@with_limits
def create(
    change_limits: limits.Change,
    change: quotas.Change,
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    data_dir: DataDir = None,
) -> None:
    """Make a workspace. `cove keys create --workspace NAME` makes a key for it."""
    own = checked(change_limits(ContainerLimits()), data_dir)
    made = with_database(data_dir, lambda database: Workspaces(database).create(name, change(Quotas()), own))
    _show([made])


@app.command("list")
def list_workspaces(data_dir: DataDir = None) -> None:
    """List the workspaces with what each may use."""
    _show(with_database(data_dir, lambda database: Workspaces(database).list()))


@app.command()
def show(workspace: _Named, data_dir: DataDir = None) -> None:
    """Show a workspace with what it may use, and what its files and batches take."""
    found = with_database(data_dir, lambda database: Workspaces(database).get(workspace))
    _show([found])
    typer.echo(
        f"Files and batches take {ByteSize(found.stored_bytes).human_readable()} ({found.stored_bytes:,} bytes)."
    )


@app.command("set")
@with_quotas
@with_limits
def set_quotas(
    change_limits: limits.Change, change: quotas.Change, workspace: _Named, data_dir: DataDir = None
) -> None:
    """Change what is given, from now on, also for a server that runs.

    Quotas are of the workspace as a whole. `--memory`, `--disk`, `--cpus`, `--processes` and `--execution-timeout` are
    of each container, where the settings are not to hold: a container keeps those that it was made with, but for the
    timeout, which holds from the next execution on.
    """
    checked(change_limits(ContainerLimits()), data_dir)
    changed = with_database(
        data_dir, lambda database: Workspaces(database).set_quotas(workspace, change, change_limits)
    )
    _show([changed])


@app.command()
def rename(
    workspace: _Named, name: Annotated[str, typer.Argument(help="The new name.")], data_dir: DataDir = None
) -> None:
    """Give a workspace another name. Its id, and all that belongs to it, stay as they are."""
    _show([with_database(data_dir, lambda database: Workspaces(database).rename(workspace, name))])


@app.command()
def delete(
    workspace: _Named,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that has containers, files or unfinished batches.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a workspace with its containers, its files, its batches and its keys.

    The keys are useless at once; containers, files and batches go within a minute, or when the server starts: requests
    of a batch that run end first. What it has used stays on record.
    """
    deleted = with_database(data_dir, lambda database: Workspaces(database).delete(workspace, force=force))
    typer.echo(f"Workspace {deleted.id} ({deleted.name}) is deleted.")


def _show(workspaces: Sequence[Workspace]) -> None:
    table = Table("Id", "Name", "Made", *HEADINGS, Column("Each container", overflow="fold"))
    for workspace in workspaces:
        table.add_row(
            workspace.id,
            workspace.name,
            f"{workspace.created_at:%Y-%m-%d %H:%M}",
            *cells(workspace.quotas),
            summary(workspace.container_limits),
        )
    Console().print(table)
