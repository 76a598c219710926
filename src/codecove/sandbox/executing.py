"""One command in a container, over its guest agent, to its end."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from codecove.sandbox import memory
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.exchanges import Exchange, ExecutionExchange, chunks
from codecove.sandbox.finish import uncancelled
from codecove.sandbox.frames import Exit, Program, Request
from codecove.sandbox.host import Execution, Listing
from codecove.sandbox.limits import Limits
from codecove.sandbox.metering import Usage

_STOP_SECONDS = 5.0
"""An agent that has not killed an execution's processes by then has lost control: the container goes."""


def program(limits: Limits, argv: Sequence[str], env: Mapping[str, str], cwd: str, file_size: int) -> Program:
    """What the agent is to start in a container with these limits; `env` is added to the base."""
    return Program(
        argv=argv,
        environment={**BASE_ENVIRONMENT, **env},
        cwd=cwd,
        address_space=memory.address_space(limits.memory_bytes),
        processes=limits.processes,
        file_size=file_size,
    )


@contextlib.contextmanager
def group_errors(agent: AgentConnection) -> Iterator[None]:
    """Where it is gone nothing holds a container to its limits."""
    try:
        yield
    except OSError as error:
        agent.end(f"the control group is gone: {error}")
        raise agent.failure() from error


async def see_through(
    agent: AgentConnection, request: int, exchange: ExecutionExchange, *, timeout: float, stdin: bytes
) -> tuple[Exit, bool]:
    """Wait for the end of a `SPAWN` just sent. Returns how it ended, and whether its time was up.

    Then, and when this is cancelled, all that it has started is killed. Raises `ContainerUnavailable`.
    """
    try:
        async with asyncio.timeout(timeout):
            await _feed(agent, request, exchange, stdin)
            return await asyncio.shield(exchange.result), False
    except TimeoutError:
        return await stop(agent, request, exchange), True
    except asyncio.CancelledError:
        await uncancelled(stop(agent, request, exchange))
        raise


async def _feed(agent: AgentConnection, request: int, exchange: ExecutionExchange, stdin: bytes) -> None:
    if not stdin:
        return
    for chunk in [*chunks(stdin), b""]:
        if exchange.finished:
            return
        taken = exchange.expect_input_taken()
        agent.send_more(Request.STDIN, request, chunk)
        await taken


async def stop(agent: AgentConnection, request: int, exchange: Exchange[Exit]) -> Exit:
    """Kill all that an execution, or a terminal, has started. Raises `ContainerUnavailable`."""
    agent.send_more(Request.KILL, request)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            return await asyncio.shield(exchange.result)
    except TimeoutError:
        agent.end(f"the guest agent did not stop a program within {_STOP_SECONDS:.0f} s")
        raise agent.failure() from None


def result(
    exchange: ExecutionExchange,
    end: Exit,
    usage: Usage,
    looked: tuple[Mapping[str, Listing], Mapping[str, Listing]],
    *,
    seconds: float,
    timed_out: bool,
    out_of_disk: bool,
) -> Execution:
    """What the caller gets to know of one that has ended; `looked`: before and after it."""
    return Execution(
        stdout=exchange.stdout(end),
        stderr=exchange.stderr(end),
        return_code=return_code(end.wait_status),
        timed_out=timed_out,
        out_of_memory=end.out_of_memory,
        out_of_disk=out_of_disk,
        seconds=seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory_bytes=usage.peak_memory_bytes,
        before=looked[0],
        after=looked[1],
    )


def return_code(wait_status: int) -> int:
    """The exit status; 128 + n for a process killed by signal n."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
