"""The command line's root: one module per verb."""

import typer

from codecove import __version__
from codecove.cli import batches, containers, files, image, keys, migrations, workspaces
from codecove.cli.audit import audit
from codecove.cli.doctor import doctor
from codecove.cli.run import run
from codecove.cli.serve import serve
from codecove.cli.settings import settings
from codecove.cli.usage import usage

app = typer.Typer(
    name="cove",
    help="The code execution tool of the Claude API, as a server of your own.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # help texts are wrapped to the window
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.command()(doctor)
app.command()(settings)
app.command()(run)
app.command()(usage)
app.add_typer(files.app)
app.add_typer(batches.app)
app.add_typer(containers.app)
app.add_typer(keys.app)
app.add_typer(workspaces.app)
app.add_typer(migrations.app)
app.command()(audit)
app.add_typer(image.app)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"codecove {__version__}")
