"""Starting the host's own programs without holding up the event loop.

uvloop would fork the server's whole memory on the loop's own thread, and wait there until the program has begun: with
work on all processors that took a fourth of the loop's time (docs/decisions/sandbox-spawning.md).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from codecove.sandbox.finish import ended, uncancelled

_GROUP_SECONDS = 1.0
"""Where nobody reaps orphans, a group never becomes empty."""
_LOOK_SECONDS = 0.002


class Child:
    """A program that was started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    async def wait(self) -> int:
        """Wait for its end. The exit status; -n for a program that was killed by signal n."""
        if self._process.poll() is None:
            ended = asyncio.Event()
            loop, fd = asyncio.get_running_loop(), os.pidfd_open(self._process.pid)
            loop.add_reader(fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        return self._process.wait()

    async def end(self) -> None:
        """Kill it with what it has started, and see them end, also if the caller is cancelled meanwhile."""
        await uncancelled(self._end())

    async def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        await self.wait()
        # What it had started may be in the middle of a mount, and is not ours to wait for.
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            async with asyncio.timeout(_GROUP_SECONDS):
                while True:
                    os.killpg(self._process.pid, 0)
                    await asyncio.sleep(_LOOK_SECONDS)


async def start(
    command: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], stdin: int, stdout: int, stderr: int
) -> Child:
    """Start a program on these descriptors, in a process group of its own. Cancelled, it leaves none.

    Raises `OSError`.
    """

    def begin() -> subprocess.Popen[bytes]:
        # With these arguments it uses vfork, which copies nothing.
        return subprocess.Popen(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0)  # noqa: S603

    starting = asyncio.ensure_future(asyncio.to_thread(begin))
    cancelled = await ended(starting)
    child = Child(starting.result())
    if cancelled is not None:
        await child.end()
        raise cancelled
    return child
