"""Our result blocks against the official client's types, without its leniency."""

from typing import Any

from anthropic.types import beta
from pydantic import BaseModel

from codecove.tools.failures import ERROR_CODES

_TYPES: dict[str, tuple[type[BaseModel], Any]] = {
    "code_execution_result": (beta.BetaCodeExecutionResultBlock, beta.BetaCodeExecutionResultBlockParam),
    "bash_code_execution_result": (beta.BetaBashCodeExecutionResultBlock, beta.BetaBashCodeExecutionResultBlockParam),
    "text_editor_code_execution_view_result": (
        beta.BetaTextEditorCodeExecutionViewResultBlock,
        beta.BetaTextEditorCodeExecutionViewResultBlockParam,
    ),
    "text_editor_code_execution_create_result": (
        beta.BetaTextEditorCodeExecutionCreateResultBlock,
        beta.BetaTextEditorCodeExecutionCreateResultBlockParam,
    ),
    "text_editor_code_execution_str_replace_result": (
        beta.BetaTextEditorCodeExecutionStrReplaceResultBlock,
        beta.BetaTextEditorCodeExecutionStrReplaceResultBlockParam,
    ),
}
_CAMEL = {"numLines", "startLine", "totalLines", "oldStart", "oldLines", "newStart", "newLines"}
_OLDER_CODES = {"code_execution_exceeded"}


def assert_strict(block: dict[str, Any]) -> None:
    """Every key is one that the client's response and input types have, or one that our documents name."""
    assert set(block) == {"type", "tool_use_id", "content"}
    name = block["type"].removesuffix("_tool_result")
    content = block["content"]
    if content["type"] == f"{name}_tool_result_error":
        assert set(content) == {"type", "error_code", "error_message"}
        assert content["error_code"] in ERROR_CODES | _OLDER_CODES
        assert isinstance(content["error_message"], str)
        return
    assert content["type"].startswith(f"{name}_")
    response, param = _TYPES[content["type"]]
    response.model_validate(content, strict=True)
    assert set(content) - _CAMEL == set(response.model_fields)
    assert set(content) - _CAMEL <= set(param.__annotations__)
