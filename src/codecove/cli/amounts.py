"""Options that each change one field of a dataclass, for commands that take a whole set of them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
T = TypeVar("T")
Change = Callable[[T], T]
"""What the options ask for: from the values before to those after."""


@dataclass(frozen=True, slots=True)
class Amount:
    """One option, such as `--storage`."""

    option: str
    help: str
    read: Callable[[str], Any]
    """The field's value of what was given. Raises `typer.BadParameter`."""


def with_amounts(
    amounts: Mapping[str, Amount],
) -> Callable[[Callable[Concatenate[Change[Any], P], None]], Callable[..., None]]:
    """Makes a command of a function whose first argument is a `Change`. `amounts` are by the names of the fields."""

    def decorate(function: Callable[Concatenate[Change[Any], P], None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]

        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> None:
            changed = {
                name: amount.read(value)
                for name, amount in amounts.items()
                if (value := given.pop(_parameter(amount))) is not None
            }
            function(lambda before: replace(before, **changed), *args, **given)

        added = [
            inspect.Parameter(
                _parameter(amount),
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[str | None, typer.Option(amount.option, help=amount.help)],
                default=None,
            )
            for amount in amounts.values()
        ]
        command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # typer reads it
        del command.__wrapped__  # or it would read the function's
        return command

    return decorate


def _parameter(amount: Amount) -> str:
    return amount.option.removeprefix("--").replace("-", "_")
