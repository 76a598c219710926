"""The options that say what a workspace or a key may use, for the commands that take them."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from codecove.workspaces import Quotas

P = ParamSpec("P")
Change = Callable[[Quotas], Quotas]
"""What the options ask for: from the quotas before to those after."""

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


def with_quotas(function: Callable[Concatenate[Change, P], None]) -> Callable[..., None]:
    """Makes a command of a function whose first argument is a `Change`: an option for each quota comes to its own."""
    own = list(inspect.signature(function).parameters.values())[1:]

    @functools.wraps(function)
    def command(*args: Any, **given: Any) -> None:
        changed = {name: _limit(name, value) for name in _HELP if (value := given.pop(name)) is not None}
        function(lambda before: replace(before, **changed), *args, **given)

    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[str | None, typer.Option(_option(name), help=f"{text}, or `{_NEVER}` for no limit.")],
            default=None,
        )
        for name, text in _HELP.items()
    ]
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # typer reads it
    del command.__wrapped__  # or it would read the function's
    return command


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
