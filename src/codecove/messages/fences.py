"""Fenced code blocks in a text, and the calls of the tool that run them."""

import json
import re
from dataclasses import dataclass
from typing import Any

_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)[^\n`]*\n"
    r"(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = {
    "python": "python",
    "python3": "python",
    "py": "python",
    "bash": "bash",
    "sh": "bash",
    "shell": "bash",
    "text_editor": "text_editor",
}
"""What a fence may say → the language that can be run: `python`, `bash` or `text_editor`."""

_PYTHON, _BASH, _EDITOR = "code_execution", "bash_code_execution", "text_editor_code_execution"


@dataclass(frozen=True, slots=True)
class Fence:
    """A code block that can be run."""

    language: str
    """`python`, `bash` or `text_editor`."""
    code: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What runs a fence."""

    name: str
    arguments: dict[str, Any]


def fences_in(text: str) -> list[Fence]:
    """The code blocks in a runnable language, in order. One that is never closed runs to the end."""
    found = []
    for match in _FENCE.finditer(text):
        language = LANGUAGES.get(match["language"].lower())
        if language is not None and match["code"].strip():
            found.append(Fence(language, match["code"]))
    return found


def call_for(fence: Fence, offered: frozenset[str]) -> ToolCall | str:
    """The call that runs a fence with the tools at hand, or the reason why none does."""
    match fence.language:
        case "python" if _PYTHON in offered:
            return ToolCall(_PYTHON, {"code": fence.code})
        case "python" if _BASH in offered:
            return ToolCall(_BASH, {"command": _here_document(fence.code)})
        case "bash" if _BASH in offered:
            return ToolCall(_BASH, {"command": fence.code.rstrip("\n")})
        case "text_editor" if _EDITOR in offered:
            return _editor_call(fence.code)
        case _:
            return f"a {fence.language} block needs the tool code_execution_20250825"


def _here_document(code: str) -> str:
    """A shell command that feeds the code to Python. The delimiter is a line that the code doesn't have."""
    lines, delimiter = set(code.split("\n")), "PYTHON"
    while delimiter in lines:
        delimiter += "_"
    return f"python3 - <<'{delimiter}'\n{code.rstrip(chr(10))}\n{delimiter}"


def _editor_call(code: str) -> ToolCall | str:
    try:
        arguments = json.loads(code)
    except ValueError as error:
        return f"a text_editor block is not valid JSON: {error}"
    if not isinstance(arguments, dict):
        return "a text_editor block has to hold a JSON object"
    return ToolCall(_EDITOR, arguments)
