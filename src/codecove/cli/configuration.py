"""Settings for a command, or a message that a person can act on."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from codecove import privileges
from codecove.settings import Settings

CANNOT_START = 3
"""Exit code of a command that could not begin its work: bad settings, no image, a port in use."""

_NOT_SETTINGS = {"COVE_CONFIG", "COVE_DEMO_MODEL", "COVE_URL", "COVE_WORKSPACE"}
"""Variables with our prefix that are read elsewhere."""


def load_settings(**arguments: Any) -> Settings:
    """The settings, with those `arguments` that are not None on top. Ends the command if they are wrong."""
    for line in unknown_variables():
        typer.echo(f"warning: {line}", err=True)
    config = os.environ.get("COVE_CONFIG")
    if config and not Path(config).is_file():
        fail(f"COVE_CONFIG names {config}, which is not a file.")
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        fail("The settings are wrong:", *(_explain(dict(entry)) for entry in error.errors()))
    except SettingsError as error:
        fail(f"The settings are wrong: {error}", *([f"  {error.__cause__}"] if error.__cause__ else []))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"The config file {config or 'codecove.toml'} is not valid TOML: {error}")
    except OSError as error:
        fail(f"The config file {config or 'codecove.toml'} can't be read: {error.strerror}")


def as_root() -> None:
    """What follows needs root: an ordinary user's command begins again in a user namespace, or ends here."""
    try:
        privileges.become_root()
    except privileges.NoNamespace as error:
        fail(str(error))


def fail(*lines: str) -> NoReturn:
    """Say why on stderr and end the command with `CANNOT_START`."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(CANNOT_START)


def unknown_variables() -> list[str]:
    """A sentence for each variable `COVE_…` that means nothing: most likely a typing error."""
    known = {variable(name) for name in Settings.model_fields} | _NOT_SETTINGS
    lines = []
    for name in sorted(os.environ):
        if name.startswith("COVE_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else " and is ignored."))
    return lines


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"COVE_{name.upper()}"


def _explain(entry: dict[str, Any]) -> str:
    first, *rest = (str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return f"  {'.'.join([first, *rest])}: there is no such setting (in the config file)"
    where = ".".join([variable(first), *rest])
    # A value is shown to be recognised, but never a secret or a table that may hold one.
    shown = isinstance(entry["input"], str | int | float) and "KEY" not in where.upper()
    return f"  {where}: {entry['msg']}" + (f" (it is {entry['input']!r})" if shown else "")
