"""cove run: a local script, in a container of its own on a server."""

import contextlib
import shlex
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from codecove.cli import executions, transfer
from codecove.cli.client import Client, Json, RequestFailed, segment, with_client
from codecove.cli.copying import files_path, put
from codecove.sandbox.host import WORKING_DIRECTORY

_INTERPRETERS = {".sh": "bash"}


@with_client
def run(
    client: Client,
    script: Annotated[Path, typer.Argument(help="A Python script, or a bash script that ends with .sh.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS...]", help="Its arguments.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A local file that it needs: it finds it beside it. May be repeated.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to put what it makes.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite local files.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the container, and say its id.")] = False,
) -> None:
    """Run a script in a fresh container and bring back the files that it makes.

    Its exit code is the command's. What it writes to the working directory or to $OUTPUT_DIR is brought back; local
    files are only overwritten with --force, and hidden files are left behind.
    """
    if not output.is_dir():
        raise RequestFailed(f"{output} is no directory.")
    container_id = client.json("POST", "/v1/containers", json={})["id"]
    try:
        for local in (script, *(file or [])):
            put(client, local, container_id, f"{WORKING_DIRECTORY}/")
        before = _listed(client, container_id)
        interpreter = _INTERPRETERS.get(script.suffix, "python3")
        command = shlex.join([interpreter, script.name, *(arguments or [])])
        content = executions.bash(client, container_id, command)
        status = executions.show(content)
        brought = _bring_outputs(client, content, output, force=force)
        changed = [name for name, entry in _listed(client, container_id).items() if before.get(name) != entry]
        for name in sorted(set(changed) - brought):
            with client.stream("GET", files_path(container_id, f"{WORKING_DIRECTORY}/{name}")) as answer:
                _save(answer, name, output, force=force)
    finally:
        if keep:
            typer.echo(f"The container is {container_id}", err=True)
        else:
            with contextlib.suppress(RequestFailed):
                client.json("DELETE", f"/v1/containers/{segment(container_id)}")
    raise typer.Exit(status)


def _listed(client: Client, container_id: str) -> dict[str, Json]:
    """The regular files of the working directory, by name."""
    listing = client.json("GET", files_path(container_id, WORKING_DIRECTORY))
    return {entry["name"]: entry for entry in listing["entries"] if entry["type"] == "file"}


def _bring_outputs(client: Client, content: Json, output: Path, *, force: bool) -> set[str]:
    """Fetch the files that the result names, and delete them on the server; the value is their names."""
    names = set()
    for entry in content.get("content", []):
        path = f"/v1/files/{segment(entry['file_id'])}"
        name = client.json("GET", path)["filename"]
        with client.stream("GET", f"{path}/content") as answer:
            _save(answer, name, output, force=force)
        client.json("DELETE", path)
        names.add(name)
    return names


def _save(answer: httpx2.Response, name: str, output: Path, *, force: bool) -> None:
    shown = transfer.printable(name)
    if transfer.local_name(name) is None:
        typer.echo(f"left behind: {shown}", err=True)
    elif transfer.save(answer, output / name, force=force):
        typer.echo(f"brought back: {shown}", err=True)
    else:
        typer.echo(f"left behind: {shown} is here already (--force overwrites it)", err=True)
