"""The options that say what a workspace or a key may use, for the commands that take them."""

import functools
from dataclasses import fields

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from codecove.cli.amounts import Amount, with_amounts
from codecove.cli.amounts import Change as _Change
from codecove.workspaces import Quotas

Change = _Change[Quotas]

_NEVER = "never"
_MAX = 2**31 - 1
_HELP = {
    "containers": "Containers running at once",
    "executions": "Executions running at once",
    "requests_per_minute": "Requests in any minute",
    "execution_seconds_per_day": "Seconds of execution in a day (UTC)",
    "storage_bytes": "Files together, such as 10GB or 512MiB",
}
HEADINGS = ("Containers", "Executions", "Requests a minute", "Seconds a day", "Storage")
"""What `cells` are of."""


def cells(quotas: Quotas) -> list[str]:
    """The quotas as the cells of a table."""
    values = {field.name: getattr(quotas, field.name) for field in fields(quotas)}
    return [_shown(name, values[name]) for name in _HELP]


def _shown(name: str, limit: int | None) -> str:
    if limit is None:
        return _NEVER
    return ByteSize(limit).human_readable() if name == "storage_bytes" else str(limit)


def _option(name: str) -> str:
    return "--storage" if name == "storage_bytes" else f"--{name.replace('_', '-')}"


def _limit(name: str, given: str) -> int | None:
    if given == _NEVER:
        return None
    if name == "storage_bytes":
        try:
            size = TypeAdapter(ByteSize).validate_python(given)
        except ValidationError:
            size = ByteSize(-1)
        if not 0 <= size < 2**63:
            raise typer.BadParameter(f"{_option(name)} is a size such as 10GB or 512MiB, or `{_NEVER}`, not {given!r}")
        return int(size)
    if not (given.isascii() and given.isdecimal() and len(given) <= 10 and int(given) <= _MAX):
        raise typer.BadParameter(f"{_option(name)} is a number up to {_MAX:,}, or `{_NEVER}`, not {given!r}")
    return int(given)


with_quotas = with_amounts(
    {
        name: Amount(_option(name), f"{text}, or `{_NEVER}` for no limit.", functools.partial(_limit, name))
        for name, text in _HELP.items()
    }
)
"""Makes a command of a function whose first argument is a `Change`: an option for each quota comes to its own."""
