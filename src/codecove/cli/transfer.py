"""Bytes to and from a server, with a progress bar when they take a while."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

_CHUNK = 2**18


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, if there is one; the value is called with the number of bytes that have gone."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(name), total=total)
        yield lambda count: bar.advance(task, count)


class Tracked:
    """A file that is read for an upload: reports how far that is."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        data = self._file.read(size)
        self._advance(len(data))
        return data

    def fileno(self) -> int:
        """As a file's: the client finds the length by it."""
        return self._file.fileno()

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_CHUNK):
            yield data


@contextmanager
def reading(path: Path) -> Iterator[Tracked]:
    """A local file to send. Ends the command if it can't be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        typer.echo(f"{path} can't be read: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    with file, progress(path.name, os.fstat(file.fileno()).st_size) as advance:
        yield Tracked(file, advance)


def save(answer: httpx2.Response, path: Path, *, force: bool) -> bool:
    """Write an answer's bytes to a local file, which appears when it is whole. False: there is one, and no `force`."""
    if path.exists() and not force:
        return False
    declared = answer.headers.get("content-length")
    with progress(path.name, int(declared) if declared else None) as advance:
        file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=".cove-", delete=False)  # noqa: SIM115
        try:
            with file:
                for chunk in answer.iter_bytes(_CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
            Path(file.name).chmod(0o666 & ~_umask())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return True


def show(answer: httpx2.Response) -> None:
    """Write an answer's bytes to stdout."""
    for chunk in answer.iter_bytes(_CHUNK):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def local_name(name: str) -> str | None:
    """A file's name as one in a local directory; None for one that has no business there.

    Whoever chose the name, a program or a server, may not climb out of the directory or hide a file in it.
    """
    return None if "/" in name or "\0" in name or name.startswith(".") or not name else name


def printable(text: str) -> str:
    """A name for the terminal: what could control that is shown as an escape."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
