"""cove containers: the containers of a workspace, on a server that runs."""

import os
import shlex
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli import executions, shell, transfer
from codecove.cli.client import Client, Json, RequestFailed, segment, with_client

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
        typer.Argument(metavar="[-- COMMAND...]", help="A command; without one, a shell that reads lines."),
    ] = None,
) -> None:
    """Run a command in a container, or a shell line by line. The exit code is that of the (last) command.

    The shell keeps the working directory and exported variables from line to line. There is no terminal inside: output
    comes when a command has ended, and programs that want to ask something can't.
    """
    if command:
        status = executions.show(executions.bash(client, container_id, shlex.join(command)))
    else:
        status = shell.interact(client, container_id)
    raise typer.Exit(status)


@app.command()
@with_client
def cp(
    client: Client,
    source: Annotated[str, typer.Argument(help="A local file, or ID:/path of a file in a container.")],
    target: Annotated[str, typer.Argument(help="The other of the two; a directory keeps the file's name.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a local file.")] = False,
) -> None:
    """Copy one file into a container, or out of one."""
    inside = [_inside(source), _inside(target)]
    if inside[0] is None and inside[1] is not None:
        put(client, Path(source), *inside[1])
    elif inside[0] is not None and inside[1] is None:
        _fetch(client, *inside[0], Path(target), force=force)
    else:
        raise RequestFailed("One of the two is ID:/path, a file in a container, the other a local file.")


def put(client: Client, local: Path, container_id: str, path: str) -> None:
    """Copy a local file into a container; a `path` that ends with a slash is a directory."""
    if path.endswith("/"):
        path += local.name
    with transfer.reading(local) as file:
        client.json("PUT", files_path(container_id, path), content=iter(file))


def _fetch(client: Client, container_id: str, path: str, target: Path, *, force: bool) -> None:
    if target.is_dir():
        name = transfer.local_name(PurePosixPath(path).name)
        if name is None:
            raise RequestFailed(f"{path}: say what it is to be called here.")
        target /= name
    with client.stream("GET", files_path(container_id, path)) as answer:
        if answer.headers["content-type"] == "application/json":
            raise RequestFailed(f"{path} is a directory; cp copies one file. `tar` in the container makes one of many.")
        if not transfer.save(answer, target, force=force):
            raise RequestFailed(f"{target} is there already: --force overwrites it.")


@app.command()
@with_client
def rm(
    client: Client,
    container_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The containers' ids.")],
) -> None:
    """Delete containers, with all that is in them. What runs there ends."""
    for container_id in container_ids:
        client.json("DELETE", _path(container_id))


def files_path(container_id: str, path: str) -> str:
    """The endpoint of an absolute path in a container."""
    names = os.fsencode(path).decode("utf-8", "surrogateescape").split("/")
    return f"{_path(container_id)}/files{'/'.join(segment(name) for name in names)}"


def _path(container_id: str) -> str:
    return f"/v1/containers/{segment(container_id)}"


def _inside(place: str) -> tuple[str, str] | None:
    """Container and path of `ID:/path`; None for a local path."""
    container_id, colon, path = place.partition(":")
    return (container_id, path) if colon and path.startswith("/") and container_id.startswith("container_") else None


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")
