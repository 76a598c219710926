"""This terminal as that of a program in a container: keys and output as they are, over a WebSocket."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from codecove.cli.client import Client, RequestFailed, explained

_KEYS = 1 << 14
"""Bytes that are read from the keyboard at once: a paste comes in pieces."""
_END_OF_FILE = b"\x04"
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_CUT = 255
"""The exit code when the connection was lost, as ssh has it."""


def run(client: Client, path: str, argv: Sequence[str]) -> int:
    """Run a program on this terminal; the value is its exit code. Without `argv`, a shell. Raises `RequestFailed`."""
    rows, columns = _size()
    asked = [("rows", str(rows)), ("columns", str(columns)), ("term", os.environ.get("TERM", "dumb"))]
    url, headers = client.websocket(f"{path}?{urlencode([*asked, *(('arg', argument) for argument in argv)])}")
    try:
        return asyncio.run(_run(url, headers))
    except InvalidStatus as error:
        answer = error.response
        raise RequestFailed(
            explained(
                httpx2.Response(answer.status_code, headers=list(answer.headers.items()), content=bytes(answer.body))
            )
        ) from None
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise RequestFailed(f"No terminal could be opened: {error or type(error).__name__}") from error


async def _run(url: str, headers: dict[str, str]) -> int:
    async with connect(
        url, additional_headers=headers, proxy=None, compression=None, max_queue=4, close_timeout=2
    ) as connection:
        with _raw(sys.stdin.fileno()):
            async with asyncio.TaskGroup() as tasks:
                typing = tasks.create_task(_type(connection))
                resizing = tasks.create_task(_resize(connection))
                loop, shown = asyncio.get_running_loop(), tasks.create_task(_show(connection))
                for number in _ENDING:
                    loop.add_signal_handler(number, shown.cancel)
                await asyncio.wait([shown])
                typing.cancel()
                resizing.cancel()
    return _CUT if shown.cancelled() else shown.result()


async def _show(connection: ClientConnection) -> int:
    """Write what comes; the value is the exit code."""
    try:
        async for message in connection:
            if isinstance(message, bytes):
                _write(message)
                continue
            told = json.loads(message)
            if told.get("type") == "exit":
                return int(told["return_code"])
            _write(f"\r\n{told.get('error', {}).get('message', 'The server ended this.')}\r\n".encode())
            return _CUT
    except ConnectionClosed:
        pass
    _write(b"\r\nThe connection was lost.\r\n")
    return _CUT


def _write(output: bytes) -> None:
    # Whoever can't show it all at once slows the program down, and that is as it should be.
    while output:
        output = output[os.write(sys.stdout.fileno(), output) :]


async def _type(connection: ClientConnection) -> None:
    """Send what is typed."""
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()
    with contextlib.suppress(ConnectionClosed, OSError):
        while True:
            pressed = loop.create_future()
            loop.add_reader(keyboard, pressed.set_result, None)
            try:
                await pressed
            finally:
                loop.remove_reader(keyboard)
            await connection.send(os.read(keyboard, _KEYS) or _END_OF_FILE)


async def _resize(connection: ClientConnection) -> None:
    """Say so whenever the window has another size."""
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    with contextlib.suppress(ConnectionClosed):
        while True:
            await changed.wait()
            changed.clear()
            rows, columns = _size()
            await connection.send(json.dumps({"type": "resize", "rows": rows, "columns": columns}))


def _size() -> tuple[int, int]:
    """Rows and columns; those of a terminal that does not know them are the usual ones."""
    size = os.get_terminal_size(sys.stdout.fileno())
    return size.lines or 24, size.columns or 80


@contextlib.contextmanager
def _raw(keyboard: int) -> Iterator[None]:
    """Every key is only a byte to be sent, until the block ends, however it does."""
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal itself may be gone
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
