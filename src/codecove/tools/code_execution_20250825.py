"""The newer tool: bash and a text editor."""

from typing import Any

from codecove.tools import descriptions, text_editor
from codecove.tools.base import Call, Facts, Operation
from codecove.tools.command import run_command
from codecove.tools.context import ExecutionContext
from codecove.tools.inputs import as_object, text_field

_BASH = "bash_code_execution"
_EDITOR = "text_editor_code_execution"

_MAX_ARGUMENT = 100_000
"""Bytes of a command that is passed as an argument; Linux takes 128 KiB."""

_ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}
"""A script that is killed for time or memory must not take with it what it has printed."""

_NO_RESTART = "No restart is needed: each command runs in a new shell. Files in /workspace are as they were.\n"


class CodeExecution20250825:
    """`code_execution_20250825`, and the later types that offer the model the same."""

    call_names = (_BASH, _EDITOR)

    def __init__(self, type: str = "code_execution_20250825") -> None:  # noqa: A002 -- the wire's word
        self._type = type

    @property
    def type(self) -> str:
        return self._type

    def definitions(self, facts: Facts) -> list[dict[str, Any]]:
        return [
            {
                "name": _BASH,
                "description": descriptions.bash(facts),
                "input_schema": {
                    "type": "object",
                    "properties": {"command": {"type": "string"}},
                    "required": ["command"],
                },
            },
            {
                "name": _EDITOR,
                "description": descriptions.text_editor(),
                "input_schema": text_editor.INPUT_SCHEMA,
            },
        ]

    def operation(self, call: Call) -> Operation:
        fields = as_object(call.name, call.input)
        return _bash(fields) if call.name == _BASH else text_editor.operation(fields)


def _bash(fields: dict[str, Any]) -> Operation:
    # Models know a bash tool with one lasting shell, and ask for its restart.
    if fields.get("restart") and fields.get("command") is None:
        return _answer_restart
    command = text_field(fields, "command").encode()

    async def run(context: ExecutionContext) -> dict[str, Any]:
        if len(command) <= _MAX_ARGUMENT and b"\0" not in command:
            argv, stdin = ["bash", "-c", "--", command.decode()], b""
        else:
            argv, stdin = ["bash", "-c", 'eval "$(cat)"'], command
        return await run_command(context, argv, name=_BASH, stdin=stdin, env=_ENVIRONMENT)

    return run


async def _answer_restart(_: ExecutionContext) -> dict[str, Any]:
    return {"type": f"{_BASH}_result", "stdout": _NO_RESTART, "stderr": "", "return_code": 0, "content": []}
