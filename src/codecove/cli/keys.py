"""cove keys: make, list and revoke API keys. Works while the server runs."""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from codecove.cli.database import DataDir, with_database
from codecove.cli.quotas import HEADINGS, Change, cells, with_quotas
from codecove.errors import NotFound
from codecove.store.database import Database
from codecove.store.keys import Key, Keys
from codecove.store.workspaces import Workspaces
from codecove.workspaces import Quotas, Role

app = typer.Typer(name="keys", help="Make, list and revoke API keys, and say what each may use.", no_args_is_help=True)

T = TypeVar("T")
_KeyId = Annotated[str, typer.Argument(help="The key's id, as `cove keys list` shows it.")]


@app.command()
@with_quotas
def create(
    change: Change,
    name: Annotated[str, typer.Argument(help="What the key is for, such as a person or a program.")],
    workspace: Annotated[str, typer.Option(help="The workspace that it opens: a name or an id.")] = "default",
    role: Annotated[
        Role, typer.Option(help="user: works in its own workspace. admin: in each that a request names.")
    ] = "user",
    data_dir: DataDir = None,
) -> None:
    """Make a key. Its secret is printed once, on stdout, and can't be shown again."""

    async def make(database: Database) -> tuple[str, Key]:
        found = await Workspaces(database).get(workspace)
        return await Keys(database).create(name, workspace_id=found.id, role=role, quotas=change(Quotas()))

    secret, key = with_database(data_dir, make)
    typer.echo(secret)
    typer.echo(f"Key {key.id} for {name!r}. Keep the secret now: only a hash of it is stored.", err=True)


@app.command("list")
def list_keys(
    workspace: Annotated[str | None, typer.Option(help="Only those of this workspace: a name or an id.")] = None,
    data_dir: DataDir = None,
) -> None:
    """List all keys, also those that were revoked. Secrets are not known here."""

    async def find(database: Database) -> list[tuple[Key, str]]:
        workspaces = Workspaces(database)
        names = {found.id: found.name for found in await workspaces.list()}
        wanted = names.keys() if workspace is None else {(await workspaces.get(workspace)).id}
        keys = await Keys(database).list()
        return [(key, names[key.workspace_id]) for key in keys if key.workspace_id in wanted]

    keys = with_database(data_dir, find)
    if not keys:
        typer.echo("No keys yet: cove keys create NAME", err=True)
        return
    table = Table("Id", "Name", "Workspace", "Role", "Made", "State")
    for key, workspace_name in keys:
        made = "COVE_API_KEY" if key.from_settings else f"{key.created_at:%Y-%m-%d %H:%M}"
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "valid"
        table.add_row(key.id, key.name, workspace_name, key.role, made, state)
    Console().print(table)


@app.command("set")
@with_quotas
def set_quotas(change: Change, key_id: _KeyId, data_dir: DataDir = None) -> None:
    """Change the quotas that are given, from now on, also for a server that runs. Without one: show them.

    A key is held to its own quotas and to its workspace's, whichever is used up first.
    """
    key = with_database(data_dir, lambda database: _known(Keys(database).set_quotas(key_id, change)))
    table = Table("Id", "Name", *HEADINGS)
    table.add_row(key.id, key.name, *cells(key.quotas))
    Console().print(table)


@app.command()
def revoke(key_id: _KeyId, data_dir: DataDir = None) -> None:
    """Make a key useless from now on, also for a server that runs."""
    with_database(data_dir, lambda database: _known(Keys(database).revoke(key_id)))
    typer.echo(f"Key {key_id} is revoked.")


async def _known(work: Awaitable[T]) -> T:
    try:
        return await work
    except NotFound as error:
        raise NotFound(f"{error.message}. `cove keys list` shows those there are.") from error
