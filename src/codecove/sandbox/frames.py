"""The codec of the protocol between host and guest agent. `guest/protocol.h` is its description.

What comes from the agent is hostile input: every length is checked before it is used, and whatever does not fit
raises `ProtocolError`. Nothing here does I/O.
"""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PROTOCOL_VERSION: Final = 1
MAX_REQUEST: Final = 1 << 20
"""Most bytes of one frame to the agent, after the length."""
CHUNK: Final = 1 << 16
"""Most bytes of content in one frame, either way."""

_HEADER = struct.Struct("<IBI")
_HEADER_REST = _HEADER.size - 4
_MAX_ANSWER = _HEADER_REST + CHUNK
_STATUS = struct.Struct("<IQqQI")
_EXIT = struct.Struct("<iBQQ")
_MAX_NAME = 255
_MAX_ERROR = 4095
_AGAIN = 16
UNLIMITED: Final = (1 << 64) - 1
"""Of the size of a file: as large as the disk lets it be."""


class Interpreter(IntEnum):
    """Those that wait to become a program."""

    WITH_LIBRARIES = 0
    PLAIN = 1
    SHELL = 2


class Request(IntEnum):
    """Types of frames to the agent."""

    SPAWN = 1
    STDIN = 2
    KILL = 3
    KILL_BIGGEST = 4
    WARM = 5
    KILL_ALL = 6
    TERMINAL = 8
    TERMINAL_INPUT = 9
    TERMINAL_ROOM = 10
    TERMINAL_RESIZE = 11
    STAT = 16
    LIST = 17
    OPEN_READ = 18
    READ = 19
    OPEN_WRITE = 20
    WRITE = 21
    CLOSE = 22
    MAKE_DIRECTORY = 23
    PUT = 24


class Answer(IntEnum):
    """Types of frames from the agent."""

    HELLO = 64
    HEAD_STDOUT = 65
    HEAD_STDERR = 66
    TAIL_STDOUT = 67
    TAIL_STDERR = 68
    EXIT = 69
    VICTIM = 70
    TERMINAL_OUTPUT = 71
    DONE = 80
    ERROR = 81
    STATUS = 82
    ENTRIES = 83
    LISTED = 84
    OPENED = 85
    DATA = 86


class ProtocolError(Exception):
    """The agent sent what the protocol does not allow."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One answer."""

    type: Answer
    id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Status:
    """The numbers of a `stat` call inside the container."""

    mode: int
    size: int
    mtime_ns: int
    inode: int
    links: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How an execution ended."""

    wait_status: int
    out_of_memory: bool
    background: bool
    """Whether processes of the user are still there."""
    cold: bool
    """Whether an interpreter that waits was asked for, and none was ready."""
    dropped_stdout: int
    dropped_stderr: int


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and the limits the agent sets on it."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    address_space: int
    processes: int
    file_size: int = UNLIMITED
    """Bytes."""


class FrameParser:
    """Cuts the agent's byte stream into frames. Holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises `ProtocolError`; the stream is of no use after that."""
        self._pending += data
        start = 0
        try:
            while len(self._pending) - start >= _HEADER.size:
                length, kind, request_id = _HEADER.unpack_from(self._pending, start)
                if not _HEADER_REST <= length <= _MAX_ANSWER:
                    raise ProtocolError(f"frame of {length} bytes")
                if len(self._pending) - start - 4 < length:
                    break
                end = start + 4 + length
                payload = bytes(self._pending[start + _HEADER.size : end])
                start = end
                yield Frame(_answer_type(kind), request_id, payload)
        finally:
            del self._pending[:start]


def _answer_type(kind: int) -> Answer:
    try:
        return Answer(kind)
    except ValueError:
        raise ProtocolError(f"frame of unknown type {kind}") from None


def encode(kind: Request, request_id: int, payload: bytes = b"") -> bytes:
    """A frame to the agent."""
    if len(payload) + _HEADER_REST > MAX_REQUEST:
        raise ValueError(f"{kind.name} of {len(payload)} bytes")
    return _HEADER.pack(len(payload) + _HEADER_REST, kind, request_id) + payload


def encode_string(text: str) -> bytes:
    """Surrogate escapes become the bytes they stand for. Raises `ValueError` for a NUL."""
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ValueError("a NUL character in a path, an argument or the environment")
    return raw + b"\0"


def encode_spawn(
    program: Program, limits: tuple[int, int], *, has_stdin: bool, waiting: Interpreter | None, again: bool
) -> bytes:
    """The payload of SPAWN. `limits`: bytes of output from its head and its tail. `waiting`: in this interpreter, if
    one is ready. `again`: if that is the shell, another one is to wait then."""
    flags = has_stdin | (0 if waiting is None else 2 << waiting)
    if again and waiting is Interpreter.SHELL:
        flags |= _AGAIN
    return struct.pack("<IIB", *limits, flags) + _encode_program(program)


def encode_warm(interpreter: Interpreter, argv: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The payload of WARM."""
    return struct.pack("<B", interpreter) + encode_command(argv, environment)


def encode_terminal(program: Program, *, room: int, rows: int, columns: int) -> bytes:
    """The payload of TERMINAL."""
    return struct.pack("<III", room, rows, columns) + _encode_program(program)


def encode_resize(terminal: int, rows: int, columns: int) -> bytes:
    """The payload of TERMINAL_RESIZE."""
    return struct.pack("<III", terminal, rows, columns)


def _encode_program(program: Program) -> bytes:
    limits = struct.pack("<QIQ", program.address_space, program.processes, program.file_size)
    return limits + encode_string(program.cwd) + encode_command(program.argv, program.environment)


def encode_command(argv: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The end of the payloads that start a program."""
    parts = []
    for strings in (argv, [f"{name}={value}" for name, value in environment.items()]):
        parts.append(struct.pack("<I", len(strings)))
        parts.extend(encode_string(string) for string in strings)
    return b"".join(parts)


def encode_path(path: str, *, follow: bool) -> bytes:
    """The payload of STAT and OPEN_READ."""
    return struct.pack("<B", follow) + encode_string(path)


def encode_list(path: str, limit: int, *, follow: bool = True, at_end: bool = False) -> bytes:
    """The payload of LIST. `at_end`: when the execution that runs has ended."""
    return struct.pack("<BI", (not follow) | at_end << 1, limit) + encode_string(path)


def encode_count(count: int) -> bytes:
    """The payload of READ and TERMINAL_ROOM."""
    return struct.pack("<I", count)


def decode_number(payload: bytes, form: str) -> int:
    """A payload that is one number, such as that of HELLO (`<I`) or OPENED (`<Q`)."""
    try:
        (number,) = struct.unpack(form, payload)
    except struct.error as error:
        raise ProtocolError(str(error)) from None
    return int(number)


def decode_error(payload: bytes) -> int:
    """The payload of ERROR: a number that Linux has, or might."""
    number = decode_number(payload, "<I")
    if not 0 < number <= _MAX_ERROR:
        raise ProtocolError(f"error {number}")
    return number


def decode_status(payload: bytes) -> Status:
    """The payload of STATUS."""
    if len(payload) != _STATUS.size:
        raise ProtocolError(f"status of {len(payload)} bytes")
    return Status(*_STATUS.unpack(payload))


def decode_entries(payload: bytes) -> Iterator[tuple[str, Status]]:
    """The payload of ENTRIES: names, with surrogate escapes, and what `lstat` says of each."""
    at = 0
    while at < len(payload):
        name_at = at + _STATUS.size + 2
        if name_at > len(payload):
            raise ProtocolError("short directory entry")
        status = Status(*_STATUS.unpack_from(payload, at))
        end = name_at + int.from_bytes(payload[name_at - 2 : name_at], "little")
        name = payload[name_at:end]
        if end > len(payload) or not 0 < len(name) <= _MAX_NAME or b"/" in name or b"\0" in name:
            raise ProtocolError("bad name in a directory entry")
        if name in (b".", b".."):
            raise ProtocolError("bad name in a directory entry")
        yield name.decode("utf-8", "surrogateescape"), status
        at = end


def decode_exit(payload: bytes) -> Exit:
    """The payload of EXIT."""
    if len(payload) != _EXIT.size:
        raise ProtocolError(f"exit of {len(payload)} bytes")
    wait_status, flags, dropped_stdout, dropped_stderr = _EXIT.unpack(payload)
    ended = 0 <= wait_status <= 0xFFFF and (os.WIFEXITED(wait_status) or os.WIFSIGNALED(wait_status))
    if flags & ~7 or not ended:
        raise ProtocolError("bad exit")
    return Exit(wait_status, bool(flags & 1), bool(flags & 2), bool(flags & 4), dropped_stdout, dropped_stderr)
