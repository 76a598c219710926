"""cove database: where the schema of the server's database is, and the steps to the current one."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from codecove.app import CannotStart, database_url, make_data_dir
from codecove.cli.configuration import fail, load_settings
from codecove.cli.database import DataDir
from codecove.store.address import Address, UnsupportedDatabase, address
from codecove.store.migrate import status, upgrade
from codecove.store.steps import Phase, Progress, SchemaMismatch

app = typer.Typer(
    name="database",
    help="The schema of the server's database. Works while the server runs.",
    no_args_is_help=True,
)

_PHASES: dict[tuple[bool, bool], tuple[Phase, ...]] = {
    (False, False): ("pre", "post"),
    (True, False): ("pre",),
    (False, True): ("post",),
}


@app.command("upgrade")
def upgrade_schema(
    pre: Annotated[bool, typer.Option("--pre", help="Only the steps that a running older server bears.")] = False,
    post: Annotated[bool, typer.Option("--post", help="Only those for when no older server is left.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Apply the steps to this version's schema; without an option all of them, for when no older server runs."""
    phases = _PHASES.get((pre, post), ("pre", "post"))
    before = _on_database(data_dir, lambda place: upgrade(place, phases))
    applied = [step for step in before.pending if step.phase in phases]
    for step in applied:
        typer.echo(f"{step.phase} {step.id}: {step.title}")
    left = len(before.pending) - len(applied)
    typer.echo(f"{len(applied)} steps applied, {left} left." if applied or left else "The schema is this version's.")


@app.command("status")
def show_status(data_dir: DataDir = None) -> None:
    """Show the steps, and which of them the database has."""
    found = _on_database(data_dir, status)
    table = Table("Step", "Phase", "What", "State")
    for steps, state in ((found.applied, "applied"), (found.pending, "pending")):
        for step in steps:
            table.add_row(step.id, step.phase, step.title, state)
    Console().print(table)
    if found.unknown:
        typer.echo(f"It also has steps of a newer version, up to {', '.join(found.unknown)}.")


def _on_database(data_dir: DataDir, action: Callable[[Address], Progress]) -> Progress:
    settings = load_settings(data_dir=data_dir)
    try:
        make_data_dir(settings.data_dir)
        return action(address(database_url(settings)))
    except (CannotStart, UnsupportedDatabase, SchemaMismatch) as error:
        fail(str(error))
    except (OSError, SQLAlchemyError) as error:
        fail(f"The database can't be used: {error.__cause__ or error}")
