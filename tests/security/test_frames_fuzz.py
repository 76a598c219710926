"""Random answers of an agent, and random requests to one: either end may give up, and nothing else happens.

FUZZ_SECONDS is for how long the long forms go on, an hour by default. Every round is made from a seed that a
failure names.
"""

import asyncio
import contextlib
import itertools
import os
import random
import resource
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codecove.sandbox import frames
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError, TerminalRefused
from codecove.sandbox.exchanges import Exchange, ExecutionExchange, FileExchange, ListExchange, VictimExchange
from codecove.sandbox.frames import CHUNK, Answer, Frame, Program, Request
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from codecove.sandbox.terminal import TerminalExchange
from tests.sandbox.hosts import Shell, new_name

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3600"))
_GROWTH_BYTES = 64 * 2**20


def seeds(rounds: int | None) -> Iterator[int]:
    """So many; or None: as many as there is time for, other ones in each run."""
    if rounds is not None:
        yield from range(rounds)
        return
    first, end = time.time_ns(), time.monotonic() + SECONDS
    yield from itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))


def biased(pick: random.Random, bits: int) -> int:
    """A number of so many bits, most often at an edge."""
    edges = [0, 1, 2, 255, 256, CHUNK, CHUNK + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    number = pick.choice(edges) if pick.random() < 0.7 else pick.getrandbits(bits)
    return number % (1 << bits)


def mangled(pick: random.Random, data: bytes) -> bytes:
    """Changed, cut or made longer, or not."""
    match pick.randrange(6):
        case 0 if data:
            at = pick.randrange(len(data))
            return data[:at] + bytes([pick.getrandbits(8)]) + data[at + 1 :]
        case 1:
            return data[: pick.randint(0, len(data))]
        case 2:
            return data + pick.randbytes(pick.choice([1, 7, 300]))
        case _:
            return data


def status(pick: random.Random) -> bytes:
    return struct.pack("<IQQQI", *(biased(pick, bits) for bits in (32, 64, 64, 64, 32)))


def entry(pick: random.Random) -> bytes:
    name = pick.choice([b"a", b"..", b"a/b", b"\xff" * 255, b"\0", b"", pick.randbytes(pick.randint(0, 300))])
    return status(pick) + struct.pack("<H", pick.choice([len(name), biased(pick, 16)])) + name


Payload = Callable[[random.Random], bytes]

LAST: dict[Answer, Payload] = {
    Answer.STATUS: status,
    Answer.DATA: lambda pick: pick.randbytes(pick.choice([0, 1, 4096])),
    Answer.DONE: lambda _: b"",
    Answer.ERROR: lambda pick: struct.pack("<I", pick.choice([1, 2, 28, 4095, biased(pick, 32)])),
    Answer.LISTED: lambda pick: bytes([biased(pick, 8)]),
    Answer.EXIT: lambda pick: struct.pack(
        "<iBQQ", pick.choice([0, 9, 256, 0xFFFF, -1]), pick.choice([0, 3, 255]), *[biased(pick, 64)] * 2
    ),
    Answer.VICTIM: lambda pick: struct.pack("<IQ", biased(pick, 32), biased(pick, 64)),
    Answer.OPENED: lambda pick: struct.pack("<Q", biased(pick, 64)),
    Answer.HELLO: lambda pick: struct.pack("<I", pick.choice([1, biased(pick, 32)])),
    Answer.ENTRIES: lambda pick: b"".join(entry(pick) for _ in range(pick.randrange(3))),
    Answer.TERMINAL_OUTPUT: lambda pick: bytes(pick.choice([0, 1, 4096, CHUNK])),
    **{
        kind: lambda pick: bytes(pick.choice([0, 1, 30, 4096]))
        for kind in (Answer.HEAD_STDOUT, Answer.HEAD_STDERR, Answer.TAIL_STDOUT, Answer.TAIL_STDERR)
    },
}
"""What each answer looks like, more or less."""

EXCHANGES: list[tuple[Callable[[], Exchange[Any]], list[Answer]]] = [
    (lambda: FileExchange("/x", Answer.STATUS), [Answer.STATUS, Answer.ERROR]),
    (lambda: FileExchange("/x", Answer.DATA), [Answer.DATA, Answer.ERROR]),
    (lambda: ListExchange("/x", 3), [Answer.ENTRIES, Answer.ENTRIES, Answer.LISTED, Answer.ERROR]),
    (
        lambda: ExecutionExchange(100, 100),
        [Answer.HEAD_STDOUT, Answer.HEAD_STDERR, Answer.TAIL_STDOUT, Answer.DONE, Answer.EXIT],
    ),
    (VictimExchange, [Answer.VICTIM]),
    (TerminalExchange, [Answer.DONE, Answer.TERMINAL_OUTPUT, Answer.TERMINAL_OUTPUT, Answer.EXIT, Answer.ERROR]),
]
"""What waits for an answer, and those that it may get."""


def answers(pick: random.Random, waiting: dict[int, list[Answer]]) -> bytes:
    """What a mad agent may say to requests of these ids."""
    said = b""
    for _ in range(pick.randint(1, 4)):
        id_ = pick.choice(list(waiting))
        kind = pick.choice(waiting[id_]) if pick.random() < 0.9 else pick.choice(list(Answer))
        payload = LAST[kind](pick)
        length = len(payload) + 5
        if pick.random() < 0.1:
            payload = mangled(pick, payload)
            length = pick.choice([len(payload) + 5, length, biased(pick, 32)])
            id_ = pick.choice([id_, biased(pick, 32)])
        said += struct.pack("<IBI", length, pick.choice([kind] * 50 + [pick.getrandbits(8)]), id_) + payload
    return said if pick.random() < 0.9 else said[: pick.randint(0, len(said))]


async def converse(pick: random.Random) -> str:
    """One conversation with a mad agent: the value says how it ended."""
    agent_stdin, to_agent = os.pipe()
    from_agent, agent_stdout = os.pipe()
    os.set_blocking(agent_stdout, False)
    ends: list[None] = []
    loop_errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loop_errors.append(context))
    connection = AgentConnection(from_agent, to_agent, detail=lambda: "", restored=pick.random() < 0.9)
    connection.when_ended(lambda: ends.append(None))
    chosen = [pick.choice(EXCHANGES) for _ in range(pick.randint(1, 5))]
    exchanges = [make() for make, _ in chosen]
    sent = [connection.send(Request.STAT, b"", exchange) for exchange in exchanges]
    waiting = {id_: kinds for id_, (_, kinds) in zip(sent, chosen, strict=True)}
    for exchange in exchanges:
        if isinstance(exchange, ExecutionExchange):
            exchange.expect_input_taken()
    try:
        for _ in range(pick.randint(1, 3)):
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(agent_stdout, answers(pick, waiting)[: 2**16])
            for _ in range(3):
                await asyncio.sleep(0)
        assert len(connection._parser._pending) <= CHUNK + 9
        ended = connection.ended
        connection.end("the end of the round")
        assert len(ends) == 1
        for exchange in exchanges:
            # Of all there is an end; what an exchange was given is in its bounds.
            assert exchange.result.done()
            error = exchange.result.exception()
            assert error is None or isinstance(error, ContainerUnavailable | GuestFileError | TerminalRefused), error
        assert loop_errors == []
        return "ended by the host" if ended else "goes on"
    finally:
        connection.end("the end of the round")
        os.close(agent_stdin)
        os.close(agent_stdout)


@pytest.mark.parametrize("rounds", [500, pytest.param(None, marks=pytest.mark.soak)])
async def test_whatever_an_agent_says_the_host_answers_its_callers_and_keeps_little(rounds: int | None) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen: dict[str, int] = {}
    for seed in seeds(rounds):
        try:
            async with asyncio.timeout(30):
                end = await converse(random.Random(seed))
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        seen[end] = seen.get(end, 0) + 1
    print(seen)
    assert min(seen["ended by the host"], seen["goes on"]) > 10
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < _GROWTH_BYTES


class Ignored(Exchange[None]):
    """Takes whatever comes, so that a conversation of which the agent makes some sense goes on."""

    def receive(self, frame: Frame) -> None:
        pass


def program(pick: random.Random) -> bytes:
    argv = [pick.choice(["true", "bash", "/nowhere", "", "x" * 5000]) for _ in range(pick.choice([1, 1, 2, 0, 50]))]
    return frames._encode_program(
        Program(argv, {"A": "b"}, pick.choice(["/workspace", "/", "/no"]), biased(pick, 64), biased(pick, 32))
    )


REQUESTS: dict[Request, Callable[[random.Random], bytes]] = {
    Request.SPAWN: lambda pick: (
        struct.pack("<IIB", biased(pick, 32), biased(pick, 32), biased(pick, 8)) + program(pick)
    ),
    Request.TERMINAL: lambda pick: struct.pack("<III", *(biased(pick, 32) for _ in range(3))) + program(pick),
    Request.WARM: lambda pick: struct.pack("<I", biased(pick, 32)) + b"a\0" * pick.randrange(4),
    Request.TERMINAL_RESIZE: lambda pick: struct.pack("<III", *(biased(pick, 32) for _ in range(3))),
    Request.LIST: lambda pick: (
        struct.pack("<BI", biased(pick, 8), biased(pick, 32)) + pick.choice([b"/\0", b"/tmp\0", b"", b"\xff" * 999])
    ),
    Request.READ: lambda pick: struct.pack("<I", biased(pick, 32)),
    Request.TERMINAL_ROOM: lambda pick: struct.pack("<I", biased(pick, 32)),
    **{
        kind: lambda pick: (
            bytes([biased(pick, 8)]) + pick.choice([b"/etc/passwd\0", b"/tmp/x\0", b"/proc/1/mem\0", b""])
        )
        for kind in (Request.STAT, Request.OPEN_READ)
    },
    **{
        kind: lambda pick: pick.choice([b"/tmp/x\0", b"/workspace/a/b\0", b"/" * 5000 + b"\0", b"", b"x"])
        for kind in (Request.OPEN_WRITE, Request.MAKE_DIRECTORY)
    },
    **{
        kind: lambda pick: pick.randbytes(pick.choice([0, 1, 100, CHUNK, 2 * CHUNK]))
        for kind in (Request.WRITE, Request.STDIN, Request.TERMINAL_INPUT)
    },
    **{kind: lambda _: b"" for kind in (Request.KILL, Request.KILL_BIGGEST, Request.CLOSE, Request.PUT)},
}


async def madden(pick: random.Random, connection: AgentConnection) -> None:
    """Send an agent requests that no host would."""
    ids = [1]
    for _ in range(pick.randint(1, 30)):
        kind = pick.choice(list(REQUESTS))
        payload = mangled(pick, REQUESTS[kind](pick))
        known = pick.choice(ids) if pick.random() < 0.4 else None
        ids.append(connection.send(kind, payload, Ignored(), request_id=known))
        if pick.random() < 0.2:
            await asyncio.sleep(0.001)
    if pick.random() < 0.5:  # and last what is no request at all; the rest of it may be made from the next ones
        garbage = struct.pack("<IBI", biased(pick, 32), pick.getrandbits(8), biased(pick, 32))
        connection._write(garbage + pick.randbytes(pick.choice([0, 5, 500])))
    await asyncio.sleep(0.01)


async def fuzz_agent(host: LocalHost, pick: random.Random) -> str:
    """In a container of its own: the value says what became of it."""
    shell = Shell(host, await host.create(new_name()))
    try:
        await shell.output("echo kept > /home/user/file")
        assert shell.container._connection is not None
        await madden(pick, shell.container._connection)
        try:
            result = await shell("echo hi", timeout=2)
            alive = result.stdout.head == b"hi\n" or result.timed_out or result.return_code != 0
            assert alive, result
        except ContainerUnavailable:
            assert shell.container.state is not State.FAILED
        before = shell.container.last.state
        # Whatever became of its agent, the container boots again on its files.
        if not shell.container._connection.ended:
            shell.container._connection.end("the end of the round")
        assert await shell.output("cat /home/user/file") == "kept\n"
        return "unavailable" if before in (State.CRASHED, State.ASLEEP) else "goes on"
    finally:
        await host.delete(shell.container.id)


@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("rounds", [4, pytest.param(None, marks=pytest.mark.soak)])
async def test_whatever_an_agent_is_told_its_container_can_be_used_again(
    host: LocalHost, shell: Shell, rounds: int | None
) -> None:
    seen: dict[str, int] = {}
    for seed in seeds(rounds):
        try:
            async with asyncio.timeout(60):
                end = await fuzz_agent(host, random.Random(seed))
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        seen[end] = seen.get(end, 0) + 1
        assert await shell.output("echo neighbour") == "neighbour\n"
    print(seen)
    assert seen
