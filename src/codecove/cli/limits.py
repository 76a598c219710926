"""The options that say what each container of a workspace may use, for the commands that take them."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from codecove.cli.amounts import Amount, with_amounts
from codecove.cli.amounts import Change as _Change
from codecove.cli.configuration import load_settings
from codecove.sandbox.capacity import excess, of_machine
from codecove.sandbox.limits import Limits
from codecove.settings import Settings
from codecove.workspaces import ContainerLimits

Change = _Change[ContainerLimits]

_DEFAULT = "default"
_SETTINGS = {
    "memory_bytes": "memory",
    "disk_bytes": "disk",
    "cpus": "cpus",
    "processes": "processes",
    "open_files": "open_files",
    "execution_timeout": "execution_timeout",
}
"""Of each limit the setting that has it for all other workspaces. Both have the same bounds."""


def checked(limits: ContainerLimits, data_dir: Path | None) -> ContainerLimits:
    """The same. Raises `typer.BadParameter` if this machine does not have so much."""
    if not limits.given():
        return limits
    capacity = of_machine(load_settings(data_dir=data_dir).data_dir)
    wanted = replace(Limits(memory_bytes=0, disk_bytes=0, cpus=0, open_files=0), **limits.for_container())
    if more := excess(wanted, capacity):
        raise typer.BadParameter(f"a container can't have {more}")
    return limits


def summary(limits: ContainerLimits) -> str:
    """What is not as the settings say, on one line."""
    given = {_SETTINGS[name]: value for name, value in limits.given().items()}
    return ", ".join(f"{name.replace('_', ' ')} {_shown(name, value)}" for name, value in given.items()) or _DEFAULT


def _read(setting: str, given: str) -> Any:
    if given == _DEFAULT:
        return None
    field = Settings.model_fields[setting]
    try:
        value = TypeAdapter(field.rebuild_annotation()).validate_python(given)
    except ValidationError as error:
        reason = error.errors()[0]
        context = {name: _shown(setting, bound) for name, bound in reason.get("ctx", {}).items()}
        bounds = {
            "greater_than_equal": "at least {ge}",
            "less_than_equal": "at most {le}",
            "greater_than": "more than {gt}",
        }
        expected = bounds.get(reason["type"], "a size such as 512MiB" if field.annotation is ByteSize else "a number")
        raise typer.BadParameter(
            f"{_option(setting)} is {expected.format(**context)}, or `{_DEFAULT}`, not {given!r}"
        ) from None
    return int(value) if isinstance(value, ByteSize) else value


def _shown(setting: str, bound: Any) -> str:
    return ByteSize(bound).human_readable() if Settings.model_fields[setting].annotation is ByteSize else str(bound)


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


with_limits = with_amounts(
    {
        name: Amount(
            _option(setting),
            f"{(Settings.model_fields[setting].description or '').rstrip('.')}, or `{_DEFAULT}`: as the settings say.",
            functools.partial(_read, setting),
        )
        for name, setting in _SETTINGS.items()
    }
)
"""Makes a command of a function whose first argument is a `Change`: an option for each limit comes to its own."""
