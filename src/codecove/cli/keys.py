"""cove keys: make, list and revoke API keys. Works while the server runs."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from codecove.app import CannotStart, database_url, make_data_dir
from codecove.cli.configuration import fail, load_settings
from codecove.errors import NotFound
from codecove.store.database import Database
from codecove.store.keys import Keys

app = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)

_T = TypeVar("_T")
_DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The server's data directory.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as a person or a program.")],
    data_dir: _DataDir = None,
) -> None:
    """Make a key. Its secret is printed once, on stdout, and can't be shown again."""
    secret, key = _with_keys(data_dir, lambda keys: keys.create(name))
    typer.echo(secret)
    typer.echo(f"Key {key.id} for {name!r}. Keep the secret now: only a hash of it is stored.", err=True)


@app.command("list")
def list_keys(data_dir: _DataDir = None) -> None:
    """List all keys, also those that were revoked. Secrets are not known here."""
    keys = _with_keys(data_dir, lambda keys: keys.list())
    if not keys:
        typer.echo("No keys yet: cove keys create NAME", err=True)
        return
    table = Table("Id", "Name", "Made", "State")
    for key in keys:
        made = "COVE_API_KEY" if key.from_settings else f"{key.created_at:%Y-%m-%d %H:%M}"
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "valid"
        table.add_row(key.id, key.name, made, state)
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `cove keys list` shows it.")],
    data_dir: _DataDir = None,
) -> None:
    """Make a key useless from now on, also for a server that runs."""
    try:
        _with_keys(data_dir, lambda keys: keys.revoke(key_id))
    except NotFound as error:
        typer.echo(f"{error.message}. `cove keys list` shows those there are.", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"Key {key_id} is revoked.")


def _with_keys(data_dir: Path | None, action: Callable[[Keys], Awaitable[_T]]) -> _T:
    settings = load_settings(data_dir=data_dir)

    async def work() -> _T:
        async with Database(database_url(settings)) as database:
            return await action(Keys(database))

    try:
        make_data_dir(settings.data_dir)
    except CannotStart as error:
        fail(f"Cannot open the database: {error}")
    return asyncio.run(work())
