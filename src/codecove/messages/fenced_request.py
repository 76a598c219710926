"""A request for a model that can't call tools: code is asked for in fenced blocks, and earlier calls are such blocks.

Pure, like the translation of the history before it: the same request always gives the same bytes.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from codecove.messages.pairs import blocks_of
from codecove.messages.protocol import Block, Message
from codecove.tools.results import CALL_NAMES

_PYTHON, _BASH, _EDITOR = "code_execution", "bash_code_execution", "text_editor_code_execution"
_HOW = (
    "You can run code. To run it, write one fenced code block and stop there: the next message brings its output, "
    "which you can't know before. Once you know enough, answer without a code block."
)
_NOW = "Write a code block now."
_PYTHON_BY_BASH = "A block that begins with ```python is run by python3 in the same sandbox."
_HERE_DOCUMENT = re.compile(r"python3 - <<'(\w+)'\n(.*)\n\1", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FencedRequest:
    """What goes upstream."""

    body: dict[str, Any]
    offered: frozenset[str]
    """Our tools whose calls the answer may have, as code blocks. Empty: the answer is not looked at."""


def fenced(request: dict[str, Any]) -> FencedRequest:
    """The request without our tools, with their description in its `system` and without their calls in its history.

    The client's own tools and what belongs to them stay as they are.
    """
    tools = request.get("tools")
    entries = tools if isinstance(tools, list) else []
    ours = [entry for entry in entries if isinstance(entry, dict) and str(entry.get("name")) in CALL_NAMES]
    others = [entry for entry in entries if entry not in ours]
    names = frozenset(str(entry["name"]) for entry in ours)
    body = {**request, "messages": _messages(request["messages"])}
    if not ours:
        return FencedRequest(body, frozenset())
    if others:
        body["tools"] = others
    else:
        del body["tools"]
    choice = request.get("tool_choice")
    choice = choice if isinstance(choice, dict) else {}
    forced = choice.get("type") == "any" or str(choice.get("name")) in names
    if forced or not others:
        body.pop("tool_choice", None)
    if not forced and choice.get("type") in ("none", "tool"):
        return FencedRequest(body, frozenset())
    body["system"] = _system(request.get("system"), ours, forced=forced)
    return FencedRequest(body, frozenset() if _goes_in_circles(request["messages"]) else names)


def _goes_in_circles(messages: list[Message]) -> bool:
    """Whether the last two turns ran the same code, with nothing said in between: small models never stop by
    themselves. What such a model writes next is taken as its answer."""
    if len(messages) < 4:
        return False
    before, first, after, second = (blocks_of(message.get("content")) for message in messages[-4:])
    ran = [[_call_text(block) for block in turn if block.get("type") == "tool_use"] for turn in (before, after)]
    answers = all(block.get("type") == "tool_result" for block in (*first, *second))
    return answers and ran[0] == ran[1] != []


def _system(given: Any, ours: list[dict[str, Any]], *, forced: bool) -> Any:
    if given is not None and not isinstance(given, str | list):
        return given  # the upstream says what is wrong with it
    names = {entry["name"] for entry in ours}
    parts = [_HOW, *(_describe(entry) for entry in ours)]
    if _PYTHON not in names and _BASH in names:
        parts.append(_PYTHON_BY_BASH)
    if forced:
        parts.append(_NOW)
    text = "\n".join(parts)
    mark = ours[-1].get("cache_control")
    if mark is None and not isinstance(given, list):
        return f"{given}\n\n{text}" if given else text
    block = {"type": "text", "text": text}
    return [*blocks_of(given or ""), block if mark is None else {**block, "cache_control": mark}]


def _describe(tool: dict[str, Any]) -> str:
    description = str(tool.get("description") or "")
    if tool["name"] != _EDITOR:
        language = "bash" if tool["name"] == _BASH else "python"
        return f"A block that begins with ```{language}: {description}"
    schema = tool.get("input_schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    fields = ", ".join(properties) if isinstance(properties, dict) else "its input"
    return f"A block that begins with ```text_editor and holds a JSON object ({fields}): {description}"


def _messages(messages: list[Message]) -> list[Message]:
    ours = {
        str(block.get("id"))
        for message in messages
        for block in blocks_of(message.get("content"))
        if block.get("type") == "tool_use" and str(block.get("name")) in CALL_NAMES
    }
    return [_message(message, ours) for message in messages] if ours else messages


def _message(message: Message, ours: set[str]) -> Message:
    content: list[Block] = []
    changed = False
    for block in blocks_of(message.get("content")):
        is_call = block.get("type") == "tool_use" and str(block.get("id")) in ours
        is_result = block.get("type") == "tool_result" and str(block.get("tool_use_id")) in ours
        if not is_call and not is_result:
            content.append(block)
            continue
        changed = True
        text = _call_text(block) if is_call else _result_text(block)
        content.append({"type": "text", "text": text, **_mark(block)})
    return {**message, "content": _joined(content)} if changed else message


def _mark(block: Block) -> Block:
    return {"cache_control": block["cache_control"]} if block.get("cache_control") is not None else {}


def _joined(content: list[Block]) -> list[Block]:
    """Texts in a row as one, each from the start of a line: servers differ in what they put between two."""
    joined: list[Block] = []
    for block in content:
        text, before = _text_of(block), _text_of(joined[-1]) if joined else None
        if text is None or before is None:
            joined.append(block)
            continue
        text = text if before.endswith("\n") else f"\n{text}"
        if joined[-1].keys() == {"type", "text"}:
            text = before + text
            joined.pop()
        joined.append({**block, "text": text})
    return joined


def _text_of(block: Block) -> str | None:
    text = block.get("text")
    return text if block.get("type") == "text" and isinstance(text, str) else None


def _call_text(call: Block) -> str:
    arguments = call.get("input")
    fields = arguments if isinstance(arguments, dict) else {}
    command, code = fields.get("command"), fields.get("code")
    if call["name"] == _PYTHON and isinstance(code, str):
        return _fence("python", code)
    if call["name"] == _BASH and isinstance(command, str):
        python = _HERE_DOCUMENT.fullmatch(command)
        return _fence("python", python[2]) if python else _fence("bash", command)
    language = {_PYTHON: "python", _BASH: "bash"}.get(str(call["name"]), "text_editor")
    return _fence(language, json.dumps(arguments, ensure_ascii=False))


def _result_text(result: Block) -> str:
    content = result.get("content")
    blocks = blocks_of(content if isinstance(content, str | list) else "")
    parts = [part for part in blocks if isinstance(part, dict)]
    output = "\n".join(
        str(part.get("text", f"[{part.get('type')}: only a model that sees can use it]")) for part in parts
    )
    if result.get("is_error"):
        return _heading("It failed", output)
    return _heading("Output", output) if output.strip() else "It ran, and printed nothing.\n"


def _heading(heading: str, output: str) -> str:
    return f"{heading}:\n{_fence('', output)}"


def _fence(language: str, text: str) -> str:
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}{language}\n{text.rstrip(chr(10))}\n{marks}\n"
