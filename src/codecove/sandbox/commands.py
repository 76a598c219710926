"""Running the host's own programs (mount, mkfs, the OCI runtime)."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from codecove.sandbox.errors import SandboxError

T = TypeVar("T")

ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class CommandFailed(SandboxError):
    """A program of the host ended with another status than 0."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{command[0]} ended with status {status}: {output.strip()}")
        self.output = output


async def run(command: Sequence[str], *, cwd: Path | None = None) -> str:
    """Run to the end, with nothing of the server's environment, and return what it printed.

    Cancelling kills it. Raises `CommandFailed`.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, problems = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise CommandFailed(command, process.returncode or 0, problems.decode(errors="replace"))
    return output.decode(errors="replace")


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """See `work` through to its end even if the caller is cancelled; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])  # which neither cancels the task nor raises what it raised
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
