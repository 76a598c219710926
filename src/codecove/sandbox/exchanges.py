"""One request to the agent and its answers, each kind with the bounds on what it accepts.

An exchange is fed frames by the connection, synchronously, and completes its future. What does not belong to it
raises `ProtocolError`, which ends the connection.
"""

import asyncio
from typing import Generic, TypeVar

from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.frames import (
    CHUNK,
    Answer,
    Exit,
    Frame,
    ProtocolError,
    Status,
    decode_entries,
    decode_error,
    decode_exit,
    decode_number,
)
from codecove.sandbox.host import Output

T = TypeVar("T")


class Exchange(Generic[T]):
    """Base: a future, and `receive`, which completes it."""

    def __init__(self) -> None:
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.finished = False
        """Whether the last answer has come. A caller may have stopped waiting before that."""

    def receive(self, frame: Frame) -> None:
        """Take one answer."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """No answer will come any more."""
        self.finished = True
        if not self.result.done():
            self.result.set_exception(error)
            self.result.exception()  # the caller may be gone: then nobody is to be told

    def _finish(self, value: T) -> None:
        self.finished = True
        if not self.result.done():
            self.result.set_result(value)


class FileExchange(Exchange[bytes]):
    """A request on a path that is answered by one frame of a known type, or by ERROR."""

    def __init__(self, path: str, expected: Answer) -> None:
        super().__init__()
        self._path = path
        self._expected = expected

    def receive(self, frame: Frame) -> None:
        if frame.type is Answer.ERROR:
            self.fail(GuestFileError(decode_error(frame.payload), self._path))
        elif frame.type is self._expected:
            self._finish(frame.payload)
        else:
            raise ProtocolError(f"{frame.type.name} instead of {self._expected.name}")


class ListExchange(Exchange[tuple[list[tuple[str, Status]], bool]]):
    """LIST: entries, and whether there were more."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__()
        self._path = path
        self._limit = limit
        self._entries: list[tuple[str, Status]] = []

    def receive(self, frame: Frame) -> None:
        match frame.type:
            case Answer.ENTRIES:
                self._entries.extend(decode_entries(frame.payload))
                if len(self._entries) > self._limit:
                    raise ProtocolError("more directory entries than asked for")
            case Answer.LISTED:
                self._finish((self._entries, decode_number(frame.payload, "<B") != 0))
            case Answer.ERROR:
                self.fail(GuestFileError(decode_error(frame.payload), self._path))
            case _:
                raise ProtocolError(f"{frame.type.name} in a listing")


class ExecutionExchange(Exchange[Exit]):
    """SPAWN: output within its limits, then EXIT."""

    def __init__(self, head_limit: int, tail_limit: int) -> None:
        super().__init__()
        limits = {"HEAD": head_limit, "TAIL": tail_limit}
        self._parts = {
            kind: (bytearray(), limits[kind.name[:4]])
            for kind in (Answer.HEAD_STDOUT, Answer.HEAD_STDERR, Answer.TAIL_STDOUT, Answer.TAIL_STDERR)
        }
        self._input_taken: asyncio.Future[None] | None = None

    def expect_input_taken(self) -> asyncio.Future[None]:
        """A future that is done when the program has taken the chunk of input just sent, or has ended."""
        self._input_taken = asyncio.get_running_loop().create_future()
        if self.finished:
            self._input_taken.set_result(None)
        return self._input_taken

    def receive(self, frame: Frame) -> None:
        if frame.type in self._parts:
            kept, limit = self._parts[frame.type]
            if len(kept) + len(frame.payload) > limit:
                raise ProtocolError("more output than asked for")
            kept += frame.payload
        elif frame.type is Answer.DONE:
            self._release_input()
        elif frame.type is Answer.EXIT:
            self._finish(decode_exit(frame.payload))
            self._release_input()
        else:
            raise ProtocolError(f"{frame.type.name} from an execution")

    def fail(self, error: Exception) -> None:
        super().fail(error)
        self._release_input()

    def stdout(self, end: Exit) -> Output:
        """What was kept of standard output."""
        return self._output(Answer.HEAD_STDOUT, Answer.TAIL_STDOUT, end.dropped_stdout)

    def stderr(self, end: Exit) -> Output:
        """What was kept of standard error."""
        return self._output(Answer.HEAD_STDERR, Answer.TAIL_STDERR, end.dropped_stderr)

    def _output(self, head: Answer, tail: Answer, dropped: int) -> Output:
        before, after = bytes(self._parts[head][0]), bytes(self._parts[tail][0])
        return Output(before, after, dropped) if dropped else Output(before + after)

    def _release_input(self) -> None:
        if self._input_taken is not None and not self._input_taken.done():
            self._input_taken.set_result(None)


class VictimExchange(Exchange[int]):
    """KILL_BIGGEST: the pid inside, 0 when the user had no process."""

    def receive(self, frame: Frame) -> None:
        if frame.type is not Answer.VICTIM or len(frame.payload) != 12:
            raise ProtocolError(f"{frame.type.name} instead of VICTIM")
        self._finish(int.from_bytes(frame.payload[:4], "little"))


class HelloExchange(Exchange[None]):
    """Not asked for: the agent's first word."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self._version = version

    def receive(self, frame: Frame) -> None:
        if frame.type is not Answer.HELLO or decode_number(frame.payload, "<I") != self._version:
            raise ProtocolError("the agent speaks another protocol")
        self._finish(None)


def chunks(data: bytes) -> list[bytes]:
    """`data` in pieces that fit into a frame."""
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
