"""A request's body: what codecove owns of it is parsed and checked, the rest is passed on as it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from codecove.errors import InvalidRequest
from codecove.messages.pairs import blocks_of, is_our_call, is_our_result
from codecove.messages.protocol import Block, Message
from codecove.tools import declaration
from codecove.tools.declaration import Declaration

_MAX_DURATION = 10**9
_OWNED = ("container", "max_execution_duration", "stream", "thread")
_BETA = "code-execution-"
_LAST_BETA = "code-execution-2025-08-25"
"""Clients send this one for the later versions too."""


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """One request to `/v1/messages` or its `count_tokens`."""

    model: str
    messages: list[Message]
    declaration: Declaration | None
    """Our tool, if the request declares it."""
    container_id: str | None
    max_execution_duration: float | None
    """Seconds that all executions of the request may take together."""
    rest: dict[str, Any]
    """Everything else, as it came: for the upstream. Has `tools` and `model`, not `messages`."""


def parse(body: dict[str, Any]) -> MessagesRequest:
    """Check a body. Raises `InvalidRequest`, whose message begins with the path of the field."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        _refuse("model", "Field required" if model is None else "Input should be a non-empty string")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        _refuse("stream", "Input should be a valid boolean")
    if body.get("thread") is not None:
        _refuse_thread()
    declared = declaration.find(body.get("tools"))
    messages = _messages(body.get("messages"), with_tool=declared is not None)
    return MessagesRequest(
        model=model,
        messages=messages,
        declaration=declared,
        container_id=_container_id(body.get("container")),
        max_execution_duration=_duration(body.get("max_execution_duration")),
        rest={key: value for key, value in body.items() if key not in (*_OWNED, "messages")},
    )


def require_beta(request: MessagesRequest, betas: Sequence[str]) -> None:
    """Raises `InvalidRequest` if the request declares our tool without its beta header, or that of a later one."""
    declared = request.declaration
    if declared is None:
        return
    wanted = _beta_of(str(declared.entry["type"]))
    family = [name for name in betas if name.startswith(_BETA)]
    if not any(name >= min(wanted, _LAST_BETA) for name in family):
        _refuse(f"tools.{declared.index}", f"`{declared.entry['type']}` needs the header `anthropic-beta: {wanted}`")


def _beta_of(tool_type: str) -> str:
    """`code_execution_20250825` → `code-execution-2025-08-25`."""
    date = tool_type.rpartition("_")[2]
    return f"{_BETA}{date[:4]}-{date[4:6]}-{date[6:]}"


def _refuse(path: str, reason: str) -> NoReturn:
    raise InvalidRequest(f"{path}: {reason}")


def _refuse_thread() -> NoReturn:
    # The tool runners of the official clients ask for a thread first. With this code they go on without one.
    raise InvalidRequest(
        "thread: this server keeps no conversations; send all messages, without `thread`",
        code="thread_unsupported_request",
    )


def _container_id(container: Any) -> str | None:
    """The id in any of the shapes of `container`. Skills are accepted; this server has none to load."""
    if container is None or isinstance(container, str):
        if container == "":
            _refuse("container", "Input should be a container id, not an empty string")
        return container
    if not isinstance(container, dict):
        _refuse("container", "Input should be a string, an object or null")
    skills = container.get("skills")
    if skills is not None and not isinstance(skills, list):
        _refuse("container.skills", "Input should be a list")
    found = container.get("id")
    if found is not None and (not isinstance(found, str) or not found):
        _refuse("container.id", "Input should be a non-empty string or null")
    return found


def _duration(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MAX_DURATION:
        _refuse(
            "max_execution_duration", f"Input should be a number of seconds greater than 0, at most {_MAX_DURATION}"
        )
    return float(value)


def _messages(messages: Any, *, with_tool: bool) -> list[Message]:
    if messages is None:
        _refuse("messages", "Field required")
    if not isinstance(messages, list):
        _refuse("messages", "Input should be a list")
    if not messages:
        _refuse("messages", "at least one message is required")
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message, dict):
            _refuse(path, "Input should be an object")
        if not isinstance(message.get("role"), str):
            _refuse(f"{path}.role", "Input should be 'user' or 'assistant'")
        content = message.get("content")
        if message["role"] == "system" and "content" not in message:
            continue
        if not isinstance(content, str | list):
            _refuse(f"{path}.content", "Field required" if content is None else "Input should be a string or a list")
        if isinstance(content, list):
            _check_blocks(content, f"{path}.content")
        for number, block in enumerate(blocks_of(content)):
            _check_owned(block, f"{path}.content.{number}", with_tool=with_tool)
    return messages


def _check_blocks(content: list[Any], path: str) -> None:
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            _refuse(f"{path}.{number}", "Input should be an object")
        if not isinstance(block.get("type"), str):
            _refuse(f"{path}.{number}.type", "Input should be a string")
        inner = block.get("content")
        if block["type"] == "tool_result" and isinstance(inner, list):
            _check_blocks(inner, f"{path}.{number}.content")


def _check_owned(block: Block, path: str, *, with_tool: bool) -> None:
    kind = block["type"]
    if is_our_call(block):
        _check_string(block, "id", path)
        if not isinstance(block.get("input"), dict):
            _refuse(f"{path}.input", "Input should be an object")
    elif is_our_result(block):
        _check_string(block, "tool_use_id", path)
        if not isinstance(block.get("content"), dict):
            _refuse(f"{path}.content", "Input should be an object")
    elif kind == "container_upload":
        _check_string(block, "file_id", path)
        if not with_tool:
            _refuse(path, "`container_upload` needs a code execution tool in `tools`, or the file could not be used")
    elif kind in ("document", "image"):
        _check_source(block, path)
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for number, inner in enumerate(block["content"]):
            if inner["type"] in ("document", "image"):
                _check_source(inner, f"{path}.content.{number}")


def _check_source(block: Block, path: str) -> None:
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "file":
        _check_string(source, "file_id", f"{path}.source")


def _check_string(block: Block, key: str, path: str) -> None:
    value = block.get(key)
    if not isinstance(value, str) or not value:
        _refuse(f"{path}.{key}", "Field required" if value is None else "Input should be a non-empty string")
