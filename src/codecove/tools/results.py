"""Result blocks: made for the client, and turned into what a model upstream reads.

`to_tool_result` takes blocks of any origin: ours, the hosted service's, a framework's, of every version of the tool,
with either spelling of the editor's counts. The same block gives the same bytes, or the upstream's prompt cache
would miss on every turn.
"""

from typing import Any

from codecove.tools import result_text
from codecove.tools.failures import ErrorCode

CALL_NAMES: frozenset[str] = frozenset({"code_execution", "bash_code_execution", "text_editor_code_execution"})
"""What a model calls, over all versions of the tool."""

RESULT_TYPES: frozenset[str] = frozenset(f"{name}_tool_result" for name in CALL_NAMES)
"""The block types that answer them."""

_EMPTY = "(no output)"


def result_block(name: str, call_id: str, content: dict[str, Any]) -> dict[str, Any]:
    """The block that answers a call of `name` with a result."""
    return {"type": f"{name}_tool_result", "tool_use_id": call_id, "content": content}


def error_block(name: str, call_id: str, code: ErrorCode, message: str) -> dict[str, Any]:
    """The block that answers a call of `name` with an error.

    `error_message` is documented for the editor alone; clients ignore it elsewhere.
    """
    content = {
        "type": f"{name}_tool_result_error",
        "error_code": _documented_code(name, code),
        "error_message": message,
    }
    return result_block(name, call_id, content)


def to_tool_result(block: dict[str, Any]) -> dict[str, Any]:
    """The upstream's `tool_result` block for one of our result blocks.

    `tool_use_id` and, if it is there, `cache_control` are kept as they are; the content is never empty.
    """
    content = block.get("content")
    failed = _is_error(content)
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": block.get("tool_use_id"),
        "content": result_text.error(content) if failed else result_text.success(content) or _EMPTY,
    }
    if failed:
        result["is_error"] = True
    if block.get("cache_control") is not None:
        result["cache_control"] = block["cache_control"]
    return result


def _documented_code(name: str, code: ErrorCode) -> str:
    """The older tool's document has its own word for a time limit."""
    if name == "code_execution" and code == "execution_time_exceeded":
        return "code_execution_exceeded"
    return code


def _is_error(content: object) -> bool:
    return isinstance(content, dict) and ("error_code" in content or str(content.get("type")).endswith("_error"))
