"""Running one command of a call, and its result."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from codecove.clock import monotonic
from codecove.sandbox.host import Execution
from codecove.tools.capture import after_execution, before_execution, capture_outputs
from codecove.tools.context import ExecutionContext
from codecove.tools.failures import ToolFailure
from codecove.tools.output import text_of

_MAX_SHOWN = 8_000
"""Characters of each stream that an error message repeats."""


_DISK_FULL = (
    "the container's disk limit was reached: what was writing was killed, and until files are deleted nothing can be "
    "written"
)


async def run_command(
    context: ExecutionContext,
    argv: Sequence[str],
    *,
    name: str,
    stdin: bytes = b"",
    env: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The content of the result block of a call of `name`. Raises `ToolFailure`."""
    env = {**context.env, **env}

    asked = monotonic()
    execution = await context.container.run(
        argv,
        env=env,
        timeout=context.timeout,
        stdin=stdin,
        look_before=before_execution(context),
        look_after=after_execution(context),
    )
    context.consumption.add(execution, seconds=monotonic() - asked)
    if execution.timed_out:
        raise ToolFailure("execution_time_exceeded", _timeout_message(context, execution))
    captured = await capture_outputs(context, execution)
    notes = [*context.notes, *captured.notes]
    if execution.out_of_memory:
        notes.insert(0, "a process was killed because the container's memory limit was reached")
    if execution.out_of_disk:
        notes.insert(0, _DISK_FULL)
    if captured.only_too_large and name == "bash_code_execution":
        raise ToolFailure("output_file_too_large", _too_large_message(context, execution, notes))
    return {
        "type": f"{name}_result",
        "stdout": text_of(execution.stdout),
        "stderr": with_notes(text_of(execution.stderr), notes),
        "return_code": execution.return_code,
        "content": [{"type": f"{name}_output", "file_id": file_id} for file_id in captured.file_ids],
    }


def with_notes(stderr: str, notes: Sequence[str]) -> str:
    """A program's stderr, and after it what the model has to know beside it."""
    if not notes:
        return stderr
    gap = "\n" if stderr and not stderr.endswith("\n") else ""
    return stderr + gap + "".join(f"[code execution: {note}]\n" for note in notes)


def _timeout_message(context: ExecutionContext, execution: Execution) -> str:
    """An error block has no output of its own: what the program printed and left goes into the message."""
    said = (
        f"Stopped after {execution.seconds:.0f} s: {context.timeout_reason} is {context.timeout:g} s. "
        "Everything it started was killed; files it wrote are still there. Do less in one call, or in steps."
    )
    lines = [said, *_shown(execution)]
    outputs = execution.after.get(context.output_dir)
    if outputs is not None and outputs.entries:
        lines.append(f"Not given to the user: the files in {context.output_dir}. Copy them to the new $OUTPUT_DIR.")
    return "\n".join(lines)


def _too_large_message(context: ExecutionContext, execution: Execution, notes: Sequence[str]) -> str:
    said = (
        f"The command ended with return code {execution.return_code}, but its files are too large to be given to "
        f"the user. They are in {context.output_dir}: make them smaller or split them into the new $OUTPUT_DIR."
    )
    return "\n".join([said, *notes, *_shown(execution)])


def _shown(execution: Execution) -> list[str]:
    shown = []
    for label, output in (("stdout", execution.stdout), ("stderr", execution.stderr)):
        if text := text_of(output):
            shown.append(f"{label}{' (its end)' if len(text) > _MAX_SHOWN else ''}:\n{text[-_MAX_SHOWN:]}")
    return shown
