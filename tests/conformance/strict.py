"""Is an answer exactly what the official client's types say? Nothing missing, nothing that they do not declare."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pydantic
from anthropic.types.beta import BetaContentBlockParam, BetaMessage

from tests.support.script import Json

# What this server adds on purpose: documented by the API in prose (usage, camelCase), or a help for the reader.
ADDITIONS = {
    "BetaServerToolUsage": {"execution_time_seconds", "code_execution_requests"},
    "BetaCodeExecutionToolResultErrorObject": {"error_message"},
    "BetaBashCodeExecutionToolResultErrorObject": {"error_message"},
    "BetaTextEditorCodeExecutionViewResultBlock": {"numLines", "startLine", "totalLines"},
    "BetaTextEditorCodeExecutionStrReplaceResultBlock": {"oldStart", "oldLines", "newStart", "newLines"},
}


def parse(message: Json) -> BetaMessage:
    """The message as the client's type, or a failure that names what is wrong with it."""
    parsed = BetaMessage.model_validate(message)
    assert list(_undeclared(parsed, "message")) == []
    _input_blocks().validate_python(message["content"])
    return parsed


def _undeclared(value: Any, at: str) -> Iterator[str]:
    """Keys that the class of the object they stand in does not declare."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _undeclared(item, f"{at}.{index}")
    elif isinstance(value, pydantic.BaseModel):
        allowed = ADDITIONS.get(type(value).__name__, set())
        yield from (f"{at}.{key} ({type(value).__name__})" for key in (value.model_extra or {}).keys() - allowed)
        for name in type(value).model_fields:
            yield from _undeclared(getattr(value, name), f"{at}.{name}")


@cache
def _input_blocks() -> pydantic.TypeAdapter[Any]:
    """What the client's types accept as history. Building it takes a second."""
    return pydantic.TypeAdapter(list[BetaContentBlockParam])
