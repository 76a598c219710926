"""The host's end of the conversation, with a liar at the other end."""

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError
from codecove.sandbox.exchanges import Exchange, ExecutionExchange, FileExchange, ListExchange, VictimExchange
from codecove.sandbox.frames import Answer, Request

HELLO = (Answer.HELLO, 0, b"\x01\0\0\0")


class Liar:
    """The agent's ends of both pipes."""

    def __init__(self) -> None:
        self.stdin, to_agent = os.pipe()
        from_agent, self.stdout = os.pipe()
        self.ended = 0
        self.connection = AgentConnection(from_agent, to_agent, detail=lambda: "last words")
        self.connection.when_ended(self._count)

    def _count(self) -> None:
        self.ended += 1

    def say(self, *frames: tuple[int, int, bytes]) -> None:
        for kind, request_id, payload in frames:
            os.write(self.stdout, struct.pack("<IBI", len(payload) + 5, kind, request_id) + payload)

    def hang_up(self) -> None:
        os.close(self.stdout)
        self.stdout = -1


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    liar = Liar()
    yield liar
    liar.connection.end("the end of the test")
    for fd in (liar.stdin, liar.stdout):
        if fd >= 0:
            os.close(fd)


async def test_hello_of_the_right_version(liar: Liar) -> None:
    liar.say(HELLO)
    await liar.connection.ready()


@pytest.mark.parametrize("first", [(Answer.HELLO, 0, b"\x02\0\0\0"), (Answer.DONE, 0, b""), (Answer.HELLO, 0, b"")])
async def test_anything_else_than_hello_first(liar: Liar, first: tuple[int, int, bytes]) -> None:
    liar.say(first)
    with pytest.raises(ContainerUnavailable, match="broke the protocol"):
        await liar.connection.ready()


async def test_hanging_up_fails_what_waits_and_tells_the_detail(liar: Liar) -> None:
    answer = asyncio.ensure_future(liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.STATUS)))
    await asyncio.sleep(0)
    liar.hang_up()
    with pytest.raises(ContainerUnavailable) as caught:
        await answer
    assert caught.value.detail == "last words"
    assert liar.ended == 1
    with pytest.raises(ContainerUnavailable):
        await liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.STATUS))


async def test_an_answer_nobody_asked_for(liar: Liar) -> None:
    liar.say(HELLO, (Answer.DATA, 99, b"x"))
    answer = liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.STATUS))
    with pytest.raises(ContainerUnavailable, match="not made"):
        await answer


LIES: dict[str, tuple[Callable[[], Exchange[Any]], list[tuple[Answer, bytes]]]] = {
    "another type of answer": (lambda: FileExchange("/x", Answer.STATUS), [(Answer.DATA, b"")]),
    "more entries than asked for": (
        lambda: ListExchange("/x", 1),
        [(Answer.ENTRIES, (struct.pack("<IQqQI", 0, 0, 0, 0, 0) + b"\x01\0a") * 2)],
    ),
    "an entry with a slash": (
        lambda: ListExchange("/x", 9),
        [(Answer.ENTRIES, struct.pack("<IQqQI", 0, 0, 0, 0, 0) + b"\x03\0a/b")],
    ),
    "more output than asked for": (lambda: ExecutionExchange(10, 10), [(Answer.HEAD_STDOUT, b"x" * 6)] * 2),
    "more tail than asked for": (lambda: ExecutionExchange(10, 10), [(Answer.TAIL_STDERR, b"x" * 11)]),
    "a file in an execution": (lambda: ExecutionExchange(10, 10), [(Answer.OPENED, b"x" * 8)]),
    "an error that there is not": (lambda: FileExchange("/x", Answer.DONE), [(Answer.ERROR, b"\0\0\0\xff")]),
    "half an exit": (lambda: ExecutionExchange(10, 10), [(Answer.EXIT, b"\0")]),
    "an exit twice": (lambda: ExecutionExchange(10, 10), [(Answer.EXIT, b"\0" * 21)] * 2),
    "a strange victim": (VictimExchange, [(Answer.VICTIM, b"")]),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_ends_the_conversation(liar: Liar, lie: str) -> None:
    make, frames = LIES[lie]
    liar.say(HELLO)
    await liar.connection.ready()
    exchange = make()
    request = liar.connection.send(Request.STAT, b"", exchange)
    liar.say(*((kind, request, payload) for kind, payload in frames))
    async with asyncio.timeout(5):
        while not liar.connection.ended:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert "broke the protocol" in str(liar.connection.failure())


async def test_an_answer_that_nobody_waits_for_any_more_is_no_lie(liar: Liar) -> None:
    liar.say(HELLO)
    asking = asyncio.ensure_future(liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.DATA)))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    liar.say((Answer.DATA, 1, b"late"), (Answer.DATA, 2, b"in time"))
    assert await liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.DATA)) == b"in time"


async def test_answers_under_one_id_come_in_order(liar: Liar) -> None:
    liar.say(HELLO)
    first, second = FileExchange("/x", Answer.DATA), FileExchange("/x", Answer.DONE)
    file = liar.connection.send(Request.READ, b"", first)
    liar.connection.send(Request.CLOSE, b"", second, request_id=file)
    liar.say((Answer.DATA, file, b"x"), (Answer.DONE, file, b""))
    assert await first.result == b"x"
    assert await second.result == b""


async def test_an_error_names_the_path_that_was_asked_for(liar: Liar) -> None:
    liar.say(HELLO, (Answer.ERROR, 1, b"\x02\0\0\0"))
    with pytest.raises(GuestFileError, match="/x: No such file"):
        await liar.connection.ask(Request.STAT, b"", FileExchange("/x", Answer.STATUS))


async def test_a_long_request_to_an_agent_that_does_not_read(liar: Liar) -> None:
    liar.say(HELLO)
    exchange = FileExchange("/x", Answer.DONE)
    liar.connection.send(Request.WRITE, b"x" * 500_000, exchange)
    os.set_blocking(liar.stdin, False)
    read = b""
    while len(read) < 500_009:
        await asyncio.sleep(0)
        with contextlib.suppress(BlockingIOError):
            read += os.read(liar.stdin, 1 << 20)
    assert read[9:] == b"x" * 500_000
