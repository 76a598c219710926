"""Running the host's own programs (mount, mkfs, the OCI runtime)."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from codecove.sandbox import spawn
from codecove.sandbox.errors import SandboxError

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
    with _memory() as output, _memory() as problems:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output.fileno(), "stderr": problems.fileno()}
        child = await spawn.start(command, cwd=cwd, env=ENVIRONMENT, **streams)
        try:
            status = await child.wait()
        except asyncio.CancelledError:
            await child.end()
            raise
        if status != 0:
            raise CommandFailed(command, status, _text(problems))
        return _text(output)


def _memory() -> BinaryIO:
    """A file that a program can write to without anybody reading at the same time."""
    return os.fdopen(os.memfd_create("output", os.MFD_CLOEXEC), "w+b", buffering=0)


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
