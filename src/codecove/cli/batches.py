"""cove batches: the Message Batches of a workspace, on a server that runs."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.client import Client, Json, segment, with_client

app = typer.Typer(
    name="batches",
    help="Message Batches on a server: list, watch, cancel, get results.",
    no_args_is_help=True,
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="The batch's id, as `cove batches ls` shows it.")]
_Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `cove batches ls` shows them.")]
_KINDS = ("processing", "succeeded", "errored", "canceled", "expired")


@app.command()
@with_client
def ls(client: Client, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100) -> None:
    """List batches, newest first."""
    table = Table("Id", "Status", "Requests", "Made", "Ended")
    for batch in client.pages("/v1/messages/batches", limit):
        size = sum(batch["request_counts"].values())
        table.add_row(
            batch["id"], batch["processing_status"], str(size), _time(batch["created_at"]), _time(batch["ended_at"])
        )
    Console().print(table)


@app.command()
@with_client
def show(client: Client, batch_id: _Id) -> None:
    """Show how far a batch is: its requests by what became of them, up to this moment."""
    batch = client.json("GET", _path(batch_id), params={"counts": "now"})
    _show(batch)


@app.command()
@with_client
def cancel(client: Client, batch_id: _Id) -> None:
    """Let what runs end, and nothing more begin."""
    _show(client.json("POST", f"{_path(batch_id)}/cancel"))


@app.command()
@with_client
def results(client: Client, batch_id: _Id) -> None:
    """Write the results to stdout, as JSON lines."""
    with client.stream("GET", f"{_path(batch_id)}/results") as answer:
        for piece in answer.iter_bytes():
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


@app.command()
@with_client
def rm(client: Client, batch_ids: _Ids) -> None:
    """Delete batches that have ended, with their results."""
    for batch_id in batch_ids:
        client.json("DELETE", _path(batch_id))


def _path(batch_id: str) -> str:
    return f"/v1/messages/batches/{segment(batch_id)}"


def _show(batch: Json) -> None:
    for name in ("id", "processing_status"):
        typer.echo(f"{name}: {batch[name]}")
    for name in ("created_at", "expires_at", "cancel_initiated_at", "ended_at", "archived_at"):
        if batch[name] is not None:
            typer.echo(f"{name}: {_time(batch[name])}")
    for kind in _KINDS:
        typer.echo(f"{kind}: {batch['request_counts'][kind]}")


def _time(moment: str | None) -> str:
    return "" if moment is None else moment[:19].replace("T", " ")
