"""Terminals in containers, for a person who works there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codecove import ids
from codecove.containers.service import Containers
from codecove.direct.failures import sandbox_failures
from codecove.errors import InvalidRequest
from codecove.sandbox.host import Terminal
from codecove.tools.base import Call
from codecove.workspaces import Caller

LONGEST_SECONDS = 8 * 3600.0
"""A terminal ends after that, also one that is in use."""
IDLE_SECONDS = 3600.0
"""And after so long without a key typed or a word written."""
QUOTA_SECONDS = 900.0
"""And after so long for a caller with a quota of seconds a day: more would be kept from everybody else all the time."""
_TOOL = "terminal"
"""What the record of executions says ran."""


class TimeIsUp(InvalidRequest):
    """A terminal was open, or not used, for too long."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a window, each from 1 to 65535."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to run."""

    argv: Sequence[str]
    size: Size
    env: Mapping[str, str] = field(default_factory=dict)


class Peer(Protocol):
    """Where the person is."""

    async def receive(self) -> bytes | Size | None:
        """What was typed, or the window's new size; None when nobody is there any more."""
        ...

    async def send(self, output: bytes) -> None:
        """Show this. Returns when more can be taken."""
        ...


class Terminals:
    """Opens terminals in the caller's containers. Each counts as an execution, and as use of its container."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    async def run(
        self, caller: Caller, container_id: str, opening: Opening, answer: Callable[[], Awaitable[Peer]]
    ) -> int | None:
        """Run a program on a terminal, and return its exit code; None if the person left before.

        `answer` is called when there is a terminal. All that was started is killed when this ends before the program
        does. Raises `NotFound` for a container that is not there or has ended, `QuotaExceeded`, `Overloaded`,
        `TimeIsUp`, and `CodecoveError` when the sandbox is gone.
        """
        size = opening.size
        async with self._containers.lease(caller, container_id, on_expired="http_error") as lease:
            with sandbox_failures():
                call = Call(ids.new("srvtoolu"), _TOOL, list(opening.argv))
                recorded = lease.execution(call.id, _TOOL, input_sha256=call.input_sha256, at_most=QUOTA_SECONDS)
                async with recorded as record:
                    container = await lease.container()
                    opened = container.terminal(opening.argv, env=opening.env, rows=size.rows, columns=size.columns)
                    async with opened as terminal:
                        peer = await answer()
                        allowed = LONGEST_SECONDS if record.allowed_seconds is None else record.allowed_seconds
                        record.return_code = await _converse(terminal, peer, allowed)
                        return record.return_code


async def _converse(terminal: Terminal, peer: Peer, allowed: float) -> int | None:
    began = asyncio.get_running_loop().time()
    idle = asyncio.timeout(min(IDLE_SECONDS, allowed))

    def used() -> None:
        now = asyncio.get_running_loop().time()
        idle.reschedule(min(now + IDLE_SECONDS, began + allowed))

    async def show() -> None:
        while output := await terminal.read():
            used()
            await peer.send(output)

    async def listen() -> None:
        while (message := await peer.receive()) is not None:
            used()
            if isinstance(message, Size):
                await terminal.resize(message.rows, message.columns)
            else:
                await terminal.write(message)

    showing, listening = asyncio.create_task(show()), asyncio.create_task(listen())
    try:
        async with idle:
            await asyncio.wait((showing, listening), return_when=asyncio.FIRST_COMPLETED)
        for task in (showing, listening):
            if task.done():
                task.result()  # raises what ended it
        return await terminal.return_code() if showing.done() else None
    except TimeoutError:
        raise TimeIsUp("The terminal was open or unused for too long") from None
    finally:
        for task in (showing, listening):
            task.cancel()
        await asyncio.wait((showing, listening))
