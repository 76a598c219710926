"""SQLite databases as good as new, without the migrations: these take a third of a second, most of it for the disk."""

import asyncio
import functools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import URL

from codecove.store.database import Database


def new_sqlite(directory: Path) -> URL:
    """A database with the current schema, in the file that a server would have it in."""
    file = directory / "codecove.db"
    file.write_bytes(_content())
    return _url(file)


@functools.cache
def _content() -> bytes:
    """Made once in each process."""

    async def make(file: Path) -> None:
        async with Database(_url(file)):
            pass

    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as elsewhere:
        file = Path(directory, "codecove.db")
        elsewhere.submit(asyncio.run, make(file)).result()  # here a loop may run already
        assert [path.name for path in Path(directory).iterdir()] == [file.name], "it has all in one file"
        return file.read_bytes()


def _url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))
