"""cove containers: the containers of a workspace, on a server that runs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli import copying, executions, shell, terminal
from codecove.cli.client import Client, Json, RequestFailed, delete_each, segment, with_client

app = typer.Typer(
    name="containers", help="Containers on a server: see them, work in them, delete them.", no_args_is_help=True
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="The container's id.")]


@app.command()
@with_client
def create(
    client: Client,
    file: Annotated[list[str] | None, typer.Option(metavar="FILE_ID", help="An uploaded file to put in.")] = None,
) -> None:
    """Make a container. Its id is printed on stdout."""
    typer.echo(client.json("POST", "/v1/containers", json={"files": file or []})["id"])


@app.command()
@with_client
def ls(
    client: Client,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have expired or failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
) -> None:
    """List containers, newest first."""
    table = Table("Id", "State", "Made", "Last used", "Expires")
    for container in client.pages("/v1/containers", limit, **({} if everything else {"state": "running"})):
        moments = [_moment(container[key]) for key in ("created_at", "last_active_at", "expires_at")]
        table.add_row(container["id"], container["state"], *moments)
    Console().print(table)


@app.command()
@with_client
def show(client: Client, container_id: _Id) -> None:
    """Show what is known of a container, with every change of its state and the reason."""
    container = client.json("GET", _path(container_id))
    console = Console(highlight=False)
    for key in ("id", "state", "created_at", "last_active_at", "expires_at"):
        console.print(f"{key:15} {container[key]}", markup=False)
    for event in container["events"]:
        console.print(f"{_moment(event['at'])}  {event['state']}: {event['reason']}", markup=False)


@app.command()
@with_client
def logs(
    client: Client, container_id: _Id, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100
) -> None:
    """List what ran in a container, newest first. Commands and their output are not kept."""
    table = Table("Began", "Call", "Tool", "Seconds", "Ended with")
    for execution in client.pages(f"{_path(container_id)}/executions", limit):
        seconds = "" if execution["seconds"] is None else f"{execution['seconds']:.2f}"
        table.add_row(
            _moment(execution["started_at"]), execution["call_id"], execution["name"], seconds, _end(execution)
        )
    Console().print(table)


def _end(execution: Json) -> str:
    if execution["error_code"] is not None:
        return str(execution["error_code"])
    if execution["return_code"] is not None:
        return f"return code {execution['return_code']}"
    return "running" if execution["finished_at"] is None else "done"


@app.command("exec", context_settings={"ignore_unknown_options": True})
@with_client
def exec_(
    client: Client,
    container_id: _Id,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="A command; without one, a shell."),
    ] = None,
) -> None:
    """Run a command in a container, or a shell. The exit code is that of the (last) command.

    From a terminal it runs on a terminal there: editors, prompts, Ctrl-C and the window's size work. When the
    connection ends, all that was started there is killed. Otherwise output comes when the command has ended; a shell
    takes stdin line by line, and keeps the working directory and exported variables.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        status = terminal.run(client, f"{_path(container_id)}/terminal", command or [])
    elif command:
        status = executions.show(executions.bash(client, container_id, shlex.join(command)))
    else:
        status = shell.interact(client, container_id)
    raise typer.Exit(status)


@app.command()
@with_client
def cp(
    client: Client,
    source: Annotated[str, typer.Argument(help="A local file or folder, or ID:/path of one in a container.")],
    target: Annotated[str, typer.Argument(help="The other of the two; in a directory it keeps its name.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite local files.")] = False,
) -> None:
    """Copy a file or a folder into a container, or out of one. Links are left out."""
    inside = [_inside(source), _inside(target)]
    try:
        if inside[0] is None and inside[1] is not None:
            copying.put(client, Path(source), *inside[1])
        elif inside[0] is not None and inside[1] is None:
            copying.fetch(client, *inside[0], Path(target), force=force)
        else:
            raise RequestFailed("One of the two is ID:/path, in a container, the other a local file or folder.")
    except OSError as error:
        raise RequestFailed(f"{error.filename}: {error.strerror}") from error


@app.command()
@with_client
def rm(
    client: Client,
    container_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The containers' ids.")],
) -> None:
    """Delete containers, with all that is in them. What runs there ends."""
    delete_each(client, [_path(container_id) for container_id in container_ids])


def _path(container_id: str) -> str:
    return f"/v1/containers/{segment(container_id)}"


def _inside(place: str) -> tuple[str, str] | None:
    """Container and path of `ID:/path`; None for a local path."""
    container_id, colon, path = place.partition(":")
    return (container_id, path) if colon and path.startswith("/") and container_id.startswith("container_") else None


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")
