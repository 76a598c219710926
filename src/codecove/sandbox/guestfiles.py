"""Files in a container, over its guest agent. See `host.Container` for what each call does."""

import contextlib
import errno
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.exchanges import FileExchange, ListExchange, chunks
from codecove.sandbox.frames import (
    CHUNK,
    Answer,
    Request,
    Status,
    decode_number,
    decode_status,
    encode_count,
    encode_list,
    encode_path,
    encode_string,
)
from codecove.sandbox.host import FileStat, Listing
from codecove.sandbox.status import file_stat

_PATH_MAX: Final = 4096
"""Linux's, in bytes: no name for a file is as long."""


async def stat(agent: AgentConnection, path: str, *, follow: bool) -> FileStat:
    """Raises `GuestFileError`, `ContainerUnavailable`, as all here do."""
    with _path_errors(path):
        payload = encode_path(path, follow=follow)
    answer = await agent.ask(Request.STAT, payload, FileExchange(path, Answer.STATUS))
    return file_stat(path.rstrip("/").rpartition("/")[2] or "/", decode_status(answer))


async def list_directory(agent: AgentConnection, path: str, *, limit: int) -> Listing:
    """At most `limit` entries."""
    with _path_errors(path):
        payload = encode_list(path, limit)
    return _listing(await agent.ask(Request.LIST, payload, ListExchange(path, limit)))


class Look:
    """At directories, now or when the execution that was just asked for has ended: asked for at once, and not awaited.

    `directories` are how many entries to list at most, by path. One that is a symbolic link is none.
    """

    def __init__(self, agent: AgentConnection, directories: Mapping[str, int], *, at_end: bool = False) -> None:
        self._agent = agent
        self._exchanges = {path: ListExchange(path, limit) for path, limit in directories.items()}
        for path, limit in directories.items():
            agent.send(Request.LIST, encode_list(path, limit, follow=False, at_end=at_end), self._exchanges[path])

    async def listings(self) -> dict[str, Listing]:
        """Those that there are. Raises `ContainerUnavailable`."""
        found = {}
        for path, exchange in self._exchanges.items():
            with contextlib.suppress(GuestFileError):
                found[path] = _listing(await self._agent.answer(Request.LIST, exchange))
        return found


async def make_directories(agent: AgentConnection, paths: Sequence[str]) -> list[GuestFileError | None]:
    """And their parents. Of each why it could not be made."""
    exchanges = []
    with agent.in_one():
        for path in paths:
            exchange = FileExchange(path, Answer.DONE)
            exchanges.append(exchange)
            try:
                with _path_errors(path):
                    agent.send(Request.MAKE_DIRECTORY, encode_string(path), exchange)
            except GuestFileError as error:
                exchange.fail(error)
    return [await _failure(agent, exchange) for exchange in exchanges]


async def _failure(agent: AgentConnection, exchange: FileExchange) -> GuestFileError | None:
    try:
        await agent.answer(Request.MAKE_DIRECTORY, exchange)
    except GuestFileError as error:
        return error
    return None


async def read(agent: AgentConnection, path: str, *, follow: bool, limit: int | None) -> AsyncGenerator[bytes, None]:
    """The first `limit` bytes, or all that there were when it was opened. Close the generator."""
    with _path_errors(path):
        payload = encode_path(path, follow=follow)
    opened = FileExchange(path, Answer.OPENED)
    file = agent.send(Request.OPEN_READ, payload, opened)
    try:
        left = decode_number(await opened.result, "<Q")
        if limit is not None:
            # A file in /proc has content, and 0 as its size.
            left = min(left or limit, limit)
        while left > 0:
            count = min(left, CHUNK)
            answer = FileExchange(path, Answer.DATA)
            data = await agent.ask(Request.READ, encode_count(count), answer, request_id=file)
            if not data:
                break
            left -= len(data)
            yield data[:count]
    finally:
        agent.send(Request.CLOSE, b"", FileExchange(path, Answer.DONE), request_id=file)


async def write(agent: AgentConnection, path: str, data: AsyncIterable[bytes] | bytes) -> None:
    """Create or replace a file: it is there when all of it has been written, and not before."""
    with _path_errors(path):
        payload = encode_string(path)
    opened = FileExchange(path, Answer.OPENED)
    file = agent.send(Request.OPEN_WRITE, payload, opened)
    closed = FileExchange(path, Answer.DONE)
    end = Request.CLOSE
    try:
        await opened.result
        async for part in parts(data):
            for chunk in chunks(part):
                written = FileExchange(path, Answer.DONE)
                await agent.ask(Request.WRITE, chunk, written, request_id=file)
        end = Request.PUT
    finally:
        agent.send(end, b"", closed, request_id=file)
    await closed.result


@contextlib.contextmanager
def _path_errors(path: str) -> Iterator[None]:
    """A path that can't be sent is one that can't exist."""
    if len(path) >= _PATH_MAX:
        raise GuestFileError(errno.ENAMETOOLONG, path)
    try:
        yield
    except ValueError:
        raise GuestFileError(errno.EINVAL, path) from None


def _listing(answer: tuple[list[tuple[str, Status]], bool]) -> Listing:
    entries, truncated = answer
    return Listing([file_stat(name, status) for name, status in entries], truncated)


async def parts(data: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
    """One part, or as they come."""
    if isinstance(data, bytes):
        yield data
        return
    async for part in data:
        yield part
