"""cove settings: every setting, where it stands and what it means."""

from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from codecove.cli.configuration import load_settings, variable
from codecove.cli.reference import settings_markdown
from codecove.settings import Settings


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference, docs/settings.md.")] = False,
) -> None:
    """List every setting with the value it has here and now. Secrets are not shown."""
    if markdown:
        typer.echo(settings_markdown(), nl=False)
        return
    current = load_settings()
    table = Table("Variable", "Value", "Meaning")
    for name, field in Settings.model_fields.items():
        table.add_row(variable(name), _shown(getattr(current, name)), field.description or "")
    Console().print(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, list):
        return f"{len(value)} given"
    return str(value)
