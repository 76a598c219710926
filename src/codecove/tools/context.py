"""What one call has at hand while it runs."""

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.host import WORKING_DIRECTORY, Container, Execution


class OutputFile(NamedTuple):
    """A file that an execution made."""

    name: str
    """As the container has it, which may be none that the Files API allows: who stores it cleans it."""
    data: AsyncIterable[bytes]


SaveOutputs = Callable[[Sequence[OutputFile]], Awaitable[Sequence[str | Exception]]]
"""Stores files that an execution made; the value has for each the id of the new File, or why there is none.

A `CodecoveError`, which may also be raised and holds for all then, is told to the model.
"""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """What the calls of one request may use. The container's own limits are the sandbox's."""

    execution_timeout: float = 300
    """Wall-clock seconds for one call."""
    request_budget: float | None = None
    """Seconds for all calls of the request together (`max_execution_duration`). None: no limit."""
    max_file_size: int = 500 * 2**20
    """Bytes of one file that an execution hands out."""
    max_output_files: int = 1000
    """Files that one execution hands out."""
    max_output_bytes: int = 5 * 2**30
    """Bytes that one execution hands out: a sparse file claims more than the container's disk can hold."""
    capture_working_directory: bool = True
    """Whether files that it saves in the working directory are handed out too, not only those in `$OUTPUT_DIR`."""


@dataclass(slots=True)
class Consumption:
    """What the commands of one call took."""

    commands: int = 0
    """Those that have ended."""
    waited: float = 0.0
    """Seconds in which the container was busy with somebody else's command."""
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    """Of stdout and stderr, also what was cut."""

    def add(self, execution: Execution, *, seconds: float) -> None:
        """A command has ended, `seconds` after it was asked for."""
        self.commands += 1
        self.waited += max(seconds - execution.seconds, 0.0)
        self.cpu_seconds += execution.cpu_seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, execution.peak_memory_bytes)
        for output in (execution.stdout, execution.stderr):
            self.output_bytes += len(output.head) + len(output.tail) + output.dropped


@dataclass(slots=True)
class ExecutionContext:
    """One call's container, directories, time and limits."""

    container: Container
    input_dir: str
    output_dir: str
    timeout: float
    """Seconds this call may take."""
    timeout_reason: str
    """The limit that `timeout` comes from, in words for the error message."""
    limits: ToolLimits
    save_outputs: SaveOutputs
    consumption: Consumption = field(default_factory=Consumption)
    notes: list[str] = field(default_factory=list)
    """What the model has to know beside the program's own output; goes to the end of stderr."""

    @property
    def env(self) -> dict[str, str]:
        """What a command gets on top of the container's base environment."""
        return {"INPUT_DIR": self.input_dir, "OUTPUT_DIR": self.output_dir}

    @property
    def path_variables(self) -> dict[str, str]:
        """The variables that the editor expands in a path."""
        return {**BASE_ENVIRONMENT, "PWD": WORKING_DIRECTORY, **self.env}
