"""What a version of the tool is, and what a call of it is."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from codecove.sandbox.warm import uses_libraries
from codecove.tools.context import ExecutionContext

Operation = Callable[[ExecutionContext], Awaitable[dict[str, Any]]]
"""A call whose input was good: run it, and the value is the `content` of its result block. Raises `ToolFailure`."""

_CODE_FIELDS = {"code_execution": "code", "bash_code_execution": "command"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the model made."""

    id: str
    """`srvtoolu_…`"""
    name: str
    """`code_execution`, `bash_code_execution` or `text_editor_code_execution`; a name that wasn't offered comes
    with a `problem`."""
    input: Any
    problem: str | None = None
    """Why the input can't be used (broken JSON, cut off by max_tokens …): the result is `invalid_tool_input` with
    this text."""

    @property
    def input_sha256(self) -> str:
        """SHA-256, in hex, of the code or command; of another call's input as compact JSON with sorted keys."""
        code = self._code
        if code is None:
            code = json.dumps(self.input, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def libraries(self) -> bool:
        """Whether it mentions the libraries which the sandbox can have loaded before."""
        return self._code is not None and uses_libraries(self._code.encode(errors="surrogatepass"))

    @property
    def _code(self) -> str | None:
        field = _CODE_FIELDS.get(self.name)
        code = self.input.get(field) if field is not None and isinstance(self.input, dict) else None
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tool descriptions promise: the actual configuration, nothing else."""

    memory_bytes: int
    disk_bytes: int
    cpus: float
    execution_timeout: float
    """Seconds."""
    python_version: str | None = None
    """None when the image doesn't say."""
    libraries: tuple[str, ...] = ()
    """Python packages of the image that are worth a mention, in this order."""
    programs: tuple[str, ...] = ()
    """Command-line programs of the image that are worth a mention, in this order."""


class Tool(Protocol):
    """One version of the code execution tool."""

    @property
    def type(self) -> str:
        """The `type` in the request's `tools`, such as `code_execution_20250825`."""
        ...

    @property
    def call_names(self) -> tuple[str, ...]:
        """The names that the model calls, the primary one first."""
        ...

    def definitions(self, facts: Facts) -> list[dict[str, Any]]:
        """The ordinary tools that are offered upstream, one for each of `call_names`."""
        ...

    def operation(self, call: Call) -> Operation:
        """Check the input before anything is started. Raises `ToolFailure`."""
        ...
