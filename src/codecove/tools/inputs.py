"""Reading the model's input: every mistake becomes `invalid_tool_input` with what to do instead."""

import json
from typing import Any

from codecove.tools.failures import invalid_input


def as_object(name: str, value: object) -> dict[str, Any]:
    """The input of a call of `name`; keys that nobody asked for are allowed."""
    if not isinstance(value, dict):
        raise invalid_input(f"The input of {name} must be an object, not {_kind(value)}.")
    return value


def text_field(fields: dict[str, Any], key: str, *, default: str | None = None) -> str:
    """A string that can be written as UTF-8. A missing or null one is `default`, or a mistake when that is None."""
    value = fields.get(key)
    if value is None:
        if default is None:
            raise invalid_input(f"`{key}` is missing: give it as a string.")
        return default
    if not isinstance(value, str):
        raise invalid_input(f"`{key}` must be a string, not {_kind(value)}: {_excerpt(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid_input(
            f"`{key}` has half of a character pair ({value[error.start]!a} at position {error.start}), "
            "which no file can hold. Write the whole character."
        ) from error
    return value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    kinds: dict[type, str] = {dict: "an object", list: "an array", int: "a number", float: "a number", str: "a string"}
    return kinds.get(type(value), "null")


def _excerpt(value: object) -> str:
    return json.dumps(value, default=str)[:100]
