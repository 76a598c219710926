"""What the hosted service refuses in a Messages request, in its own words where they are known.

The upstream of codecove is an ordinary Messages server: none of codecove's own blocks, tools or fields may reach it.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

ID_PATTERN = r"^[a-zA-Z0-9_-]+$"
NAME_PATTERN = r"^[a-zA-Z0-9_-]{1,128}$"

_BLOCK_KEYS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "search_result": {"source", "title", "content", "citations", "cache_control"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
}
_ROLE_BLOCKS = {
    "user": {"text", "image", "document", "search_result", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
_RESULT_BLOCKS = {"text", "image", "document", "search_result"}
_CUSTOM_TOOL_KEYS = {
    *("name", "type", "description", "input_schema", "cache_control", "strict", "defer_loading", "input_examples"),
    *("allowed_callers", "eager_input_streaming"),
}
_OWN_FIELDS = ("container", "max_execution_duration")
_IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_SCHEMA_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_SCHEMA_KEYWORDS = {
    *("type", "properties", "required", "description", "enum", "items", "additionalProperties", "minItems", "maxItems"),
    *("minimum", "maximum", "default", "title", "minLength", "anyOf", "oneOf", "const", "pattern", "format"),
}


def problems(body: Json, *, counting: bool = False) -> Iterator[str]:
    """Everything that the hosted service would refuse in this request, most basic first."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: Field required"
    if not counting:
        yield from _max_tokens(body.get("max_tokens"))
    for field in _OWN_FIELDS:
        if field in body:
            yield f"{field}: Extra inputs are not permitted"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: at least one message is required"
        return
    shape = [*_system(body.get("system")), *_shape(messages), *_tools(body)]
    yield from shape
    if not shape:
        yield from _pairing(messages)
        yield from _cache_marks(body)


def _max_tokens(value: object) -> Iterator[str]:
    if value is None:
        yield "max_tokens: Field required"
    elif not isinstance(value, int) or isinstance(value, bool):
        yield "max_tokens: Input should be a valid integer"
    elif value < 1:
        yield "max_tokens: Input should be greater than or equal to 1"


def _system(system: object) -> Iterator[str]:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        yield "system: Input should be a valid list"
        return
    for index, block in enumerate(system):
        yield from _block(block, f"system.{index}", {"text"})


def _shape(messages: list[Any]) -> Iterator[str]:
    previous = None
    for index, message in enumerate(messages):
        at = f"messages.{index}"
        if not isinstance(message, dict) or message.get("role") not in _ROLE_BLOCKS:
            yield f"{at}.role: Input should be 'user' or 'assistant'"
            continue
        for key in message.keys() - {"role", "content"}:
            yield f"{at}.{key}: Extra inputs are not permitted"
        role = message["role"]
        if index == 0 and role != "user":
            yield 'messages: first message must use the "user" role'
        if role == previous:
            # The hosted service merges two in a row; templates of local models refuse them.
            found = f'but found multiple "{role}" roles in a row'
            yield f'messages: roles must alternate between "user" and "assistant", {found}'
        previous = role
        yield from _content(message.get("content"), at, role, is_last=index == len(messages) - 1)


def _content(content: object, at: str, role: str, *, is_last: bool) -> Iterator[str]:
    if not isinstance(content, str | list):
        yield f"{at}.content: Input should be a valid list"
        return
    if not content and not (is_last and role == "assistant"):
        yield f"{at}: all messages must have non-empty content except for the optional final assistant message"
    if isinstance(content, str):
        return
    for index, block in enumerate(content):
        yield from _block(block, f"{at}.content.{index}", _ROLE_BLOCKS[role])
    if role != "assistant" or not content or not isinstance(content[-1], dict):
        return
    last = content[-1]
    if last.get("type") in {"thinking", "redacted_thinking"}:
        yield f"{at}: The final block in an assistant message cannot be `thinking`."
    if is_last and last.get("type") == "text" and last["text"] != last["text"].rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"


def _block(block: object, at: str, allowed: set[str]) -> Iterator[str]:
    if not isinstance(block, dict):
        yield f"{at}: Input should be a valid dictionary"
        return
    kind = block.get("type")
    if kind not in allowed:
        tags = ", ".join(f"'{name}'" for name in sorted(allowed))
        yield f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        return
    for key in block.keys() - _BLOCK_KEYS[kind] - {"type"}:
        yield f"{at}.{kind}.{key}: Extra inputs are not permitted"
    match kind:
        case "text":
            yield from _text(block.get("text"), at)
        case "image":
            yield from _image(block.get("source"), at)
        case "thinking" if not isinstance(block.get("signature"), str):
            yield f"{at}.thinking.signature: Field required"
        case "tool_use":
            yield from _tool_use(block, at)
        case "tool_result":
            yield from _tool_result(block, at)


def _text(text: object, at: str) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{at}.text.text: Field required"
    elif not text:
        yield "messages: text content blocks must be non-empty"
    elif not text.strip():
        yield "messages: text content blocks must contain non-whitespace text"


def _image(source: object, at: str) -> Iterator[str]:
    if not isinstance(source, dict) or source.get("type") not in {"base64", "url"}:
        yield f"{at}.image.source: Input tag does not match any of the expected tags: 'base64', 'url'"
        return
    if source["type"] == "url":
        return
    if source.get("media_type") not in _IMAGE_TYPES:
        yield f"{at}.image.source.base64.media_type: Input should be one of {sorted(_IMAGE_TYPES)}"
    try:
        base64.b64decode(source.get("data", ""), validate=True)
    except ValueError:
        yield f"{at}.image.source.base64: invalid base64 data"


def _tool_use(block: Json, at: str) -> Iterator[str]:
    if not re.fullmatch(ID_PATTERN, str(block.get("id", ""))):
        yield f"{at}.tool_use.id: String should match pattern '{ID_PATTERN}'"
    if not re.fullmatch(NAME_PATTERN, str(block.get("name", ""))):
        yield f"{at}.tool_use.name: String should match pattern '{NAME_PATTERN}'"
    if not isinstance(block.get("input"), dict):
        yield f"{at}.tool_use.input: Input should be a valid dictionary"
    if block.get("caller", {"type": "direct"}) != {"type": "direct"}:
        yield f"{at}.tool_use.caller: no tool of the request can be this caller"


def _tool_result(block: Json, at: str) -> Iterator[str]:
    if not re.fullmatch(ID_PATTERN, str(block.get("tool_use_id", ""))):
        yield f"{at}.tool_result.tool_use_id: String should match pattern '{ID_PATTERN}'"
    content = block.get("content", "")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        yield f"{at}.tool_result.content: Input should be a valid list"
        return
    for index, part in enumerate(content):
        yield from _block(part, f"{at}.tool_result.content.{index}", _RESULT_BLOCKS)
        if block.get("is_error") and isinstance(part, dict) and part.get("type") != "text":
            yield f'{at}.tool_result: all content must be type "text" if "is_error" is true'


def _pairing(messages: list[Json]) -> Iterator[str]:
    """Every `tool_use` has its one `tool_result` at the beginning of the next message, and the reverse."""
    seen: set[str] = set()
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        head = _leading_results(blocks)
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        missing = [call for call in open_calls if call not in head]
        if missing:
            yield (
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        for position, result in enumerate(results):
            if result not in open_calls:
                yield (
                    f"messages.{index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{result}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message."
                )
            elif results.count(result) > 1 and results.index(result) == position:
                yield (
                    f"messages.{index}.content.{position}: each tool_use must have a single result. "
                    f"Found multiple `tool_result` blocks with id: {result}"
                )
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if seen.intersection(open_calls) or len(set(open_calls)) < len(open_calls):
            yield f"messages.{index}: `tool_use` ids must be unique"
        seen.update(open_calls)
    if open_calls:
        yield (
            f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _leading_results(blocks: list[Json]) -> list[str]:
    head = []
    for block in blocks:
        if block["type"] != "tool_result":
            break
        head.append(block["tool_use_id"])
    return head


def _tools(body: Json) -> Iterator[str]:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        yield "tools: Input should be a valid list"
        return
    names = []
    for index, tool in enumerate(tools):
        at = f"tools.{index}"
        if not isinstance(tool, dict):
            yield f"{at}: Input should be a valid dictionary"
            continue
        names.append(tool.get("name"))
        kind = tool.get("type", "custom")
        if str(kind).startswith("code_execution"):
            yield f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'custom'"
        elif kind == "custom":
            yield from _custom_tool(tool, f"{at}.custom")
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not isinstance(choice, dict) or choice.get("type") not in {"auto", "any", "tool", "none"}:
        yield "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
    elif not tools:
        yield "tool_choice: tool_choice may only be specified while providing tools"
    elif choice["type"] == "tool" and choice.get("name") not in names:
        yield f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"


def _custom_tool(tool: Json, at: str) -> Iterator[str]:
    for key in tool.keys() - _CUSTOM_TOOL_KEYS:
        yield f"{at}.{key}: Extra inputs are not permitted"
    if not re.fullmatch(NAME_PATTERN, str(tool.get("name", ""))):
        yield f"{at}.name: String should match pattern '{NAME_PATTERN}'"
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        yield f"{at}.input_schema: Field required"
        return
    if schema.get("type") != "object":
        yield f"{at}.input_schema.type: Field required"
        return
    yield from _schema(schema, f"{at}.input_schema")


def _schema(schema: object, at: str) -> Iterator[str]:
    invalid = f"{at}: JSON schema is invalid. It must match JSON Schema draft 2020-12"
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict) or schema.keys() - _SCHEMA_KEYWORDS - {"$defs", "$ref", "$schema"}:
        yield invalid
        return
    types = schema.get("type", [])
    if not set([types] if isinstance(types, str) else types) <= _SCHEMA_TYPES:
        yield invalid
    properties = schema.get("properties", {})
    if not set(schema.get("required", [])) <= properties.keys():
        yield invalid
    for name, part in properties.items():
        yield from _schema(part, f"{at}.properties.{name}")
    if "items" in schema:
        yield from _schema(schema["items"], f"{at}.items")


def _cache_marks(body: Json) -> Iterator[str]:
    marks = sum(_marks(body.get(field, [])) for field in ("tools", "system", "messages"))
    if marks > 4:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."


def _marks(value: object) -> int:
    """How many dictionaries at or below `value` carry a `cache_control`, leaving out what only describes data."""
    if isinstance(value, list):
        return sum(_marks(item) for item in value)
    if not isinstance(value, dict):
        return 0
    inner = sum(_marks(item) for key, item in value.items() if key not in {"input", "input_schema"})
    return inner + (value.get("cache_control") is not None)
