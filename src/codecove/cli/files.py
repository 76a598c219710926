"""cove files: the files of a workspace, on a server that runs."""

import mimetypes
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from codecove.cli import transfer
from codecove.cli.client import Client, RequestFailed, delete_each, segment, with_client

app = typer.Typer(name="files", help="Files on a server: upload, list, fetch, delete.", no_args_is_help=True)

_Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `cove files ls` shows them.")]


@app.command()
@with_client
def upload(
    client: Client,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Local files.")],
) -> None:
    """Upload files. Their ids are printed on stdout, one a line."""
    for path in paths:
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with transfer.reading(path) as file:
            made = client.json("POST", "/v1/files", files={"file": (path.name, file, media_type)})
        typer.echo(made["id"])


@app.command()
@with_client
def ls(client: Client, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100) -> None:
    """List files, newest first."""
    table = Table("Id", "Name", "Size", "Type", "Made", "Can be fetched")
    for file in client.pages("/v1/files", limit):
        fetched = "yes" if file["downloadable"] else "no"
        size, made = decimal(file["size_bytes"]), file["created_at"][:16].replace("T", " ")
        table.add_row(file["id"], transfer.printable(file["filename"]), size, file["mime_type"], made, fetched)
    Console().print(table)


@app.command()
@with_client
def get(
    client: Client,
    file_id: Annotated[str, typer.Argument(metavar="ID", help="The file's id.")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="Where to; `-` is stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a local file.")] = False,
) -> None:
    """Fetch a file that an execution made: by default under its own name, into the working directory."""
    path = f"/v1/files/{segment(file_id)}"
    named = output or transfer.local_name(client.json("GET", path)["filename"])
    if named is None:
        raise RequestFailed("The file's name can't be one here: give one with --output.")
    with client.stream("GET", f"{path}/content") as answer:
        if named == "-":
            transfer.show(answer)
            return
        if not transfer.save(answer, Path(named), force=force):
            raise RequestFailed(f"{transfer.printable(named)} is there already: --force overwrites it.")
    typer.echo(transfer.printable(named))


@app.command()
@with_client
def rm(client: Client, file_ids: _Ids) -> None:
    """Delete files."""
    delete_each(client, [f"/v1/files/{segment(file_id)}" for file_id in file_ids])
