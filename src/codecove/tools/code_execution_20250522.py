"""The older tool: Python, a fresh interpreter for each call."""

from functools import cache
from importlib import resources
from typing import Any

from codecove.tools import descriptions
from codecove.tools.base import Call, Facts, Operation
from codecove.tools.command import run_command
from codecove.tools.context import ExecutionContext
from codecove.tools.inputs import as_object, text_field

_NAME = "code_execution"


class CodeExecution20250522:
    """`code_execution_20250522`."""

    type = "code_execution_20250522"
    call_names = (_NAME,)

    def definitions(self, facts: Facts) -> list[dict[str, Any]]:
        return [
            {
                "name": _NAME,
                "description": descriptions.python(facts),
                "input_schema": {
                    "type": "object",
                    "properties": {"code": {"type": "string", "description": "A Python program."}},
                    "required": ["code"],
                },
            }
        ]

    def operation(self, call: Call) -> Operation:
        code = text_field(as_object(_NAME, call.input), "code").encode()

        async def run(context: ExecutionContext) -> dict[str, Any]:
            # By way of stdin: one argument may have 128 KiB only, and a file needs room on the disk. The program
            # finds its own stdin at its end, as documented.
            return await run_command(context, ["python3", "-c", _bootstrap()], name=_NAME, stdin=code)

        return run


@cache
def _bootstrap() -> str:
    return resources.files("codecove.tools").joinpath("python_bootstrap.py").read_text(encoding="utf-8")
