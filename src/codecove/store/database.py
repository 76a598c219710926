"""The connection to the database, and the two kinds of transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from codecove.store.finish import finish
from codecove.store.migrate import upgrade

_WRITES = "codecove_writes"


class UnsupportedDatabase(Exception):
    """The URL names a database that codecove does not run on."""


class Database:
    """A database, migrated to the current schema when entered.

    What uses a transaction is decorated with `@to_the_end`, so that no transaction is ever cancelled: the driver
    answers a cancellation by closing the connection, and SQLite keeps a closed connection's locks for as long as
    the cancelled task's traceback holds one of its statements. A test looks for it.
    """

    def __init__(self, url: str | URL) -> None:
        """`url` is as in SQLAlchemy, without a driver. Raises `UnsupportedDatabase`."""
        self._url = make_url(url)
        if self._url.get_backend_name() != "sqlite":
            raise UnsupportedDatabase(f"{self._url.get_backend_name()}: only sqlite is supported")
        self._engine: AsyncEngine | None = None
        # SQLite has one writer at a time and lets the others poll. Waiting here is fair and costs no thread.
        self._writer = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await finish(asyncio.to_thread(upgrade, self._url))
        engine = create_async_engine(self._url.set(drivername="sqlite+aiosqlite"))
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        self._engine = engine
        return self

    async def __aexit__(self, *exc: object) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await finish(engine.dispose())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads: it sees one state of the database from its first query on."""
        async with AsyncSession(self._opened(), expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write; committed at the end of the block, undone if that raises.

        Such transactions run one after the other (SQLite), so that what one has read still holds when it writes.
        """
        engine = self._opened().execution_options(**{_WRITES: True})
        async with self._writer, AsyncSession(engine, expire_on_commit=False) as session:
            yield session
            await session.commit()

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise RuntimeError("the database is not open: use it inside `async with database:`")
        return self._engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    """Settings that belong to each connection; that the file is in WAL mode is kept in the file (`migrate.py`)."""
    # Python's driver would begin transactions by rules of its own; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Another process, such as `cove keys create`, may be writing: wait for it, in milliseconds.
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA foreign_keys = ON")
    # With WAL a killed process loses nothing; a power cut may lose the last commits but never corrupts.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once: one that reads first and writes later can fail when another wrote between."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
