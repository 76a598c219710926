"""SQLite by Python's own driver, for what every request waits for (docs/decisions/http-overhead.md).

The asynchronous one changes threads several times for each statement. Here a transaction that writes is one change of
threads, and one that reads a row or two is none.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from sqlalchemy import URL
from sqlalchemy.dialects import sqlite

from codecove.store.finish import finish
from codecove.store.prepared import Prepared, Transaction, Values

T = TypeVar("T")

_THREADS = 4


class Blocking:
    """Connections to a database that is a file, and the threads that use them."""

    def __init__(self, url: URL, *, configure: Callable[[Any, object], None]) -> None:
        """`configure` sets up a connection of the driver's, which begins no transaction by itself."""
        arguments, options = sqlite.dialect().create_connect_args(url)
        self._connect: Callable[[], sqlite3.Connection] = partial(sqlite3.connect, *arguments, **options)
        self._configure = configure
        self._threads = ThreadPoolExecutor(_THREADS, "database")
        self._free: deque[sqlite3.Connection] = deque()
        """Connections of theirs that none of them uses now."""
        self._own = self._open()
        """The event loop's. It has no transactions: each statement sees what is committed."""
        self._own.execute("PRAGMA busy_timeout = 0")

    def write(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """`work` in a transaction, alone among those that write. Not to be cancelled: the thread goes on."""
        return self._run(work, "BEGIN IMMEDIATE")

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """`work`, which looks at a few rows by their keys: here and now, unless it would have to wait for somebody.

        In WAL mode a reader waits for nobody but one who repairs or closes the database.
        """
        try:
            return work(_OnSqlite(self._own))
        except sqlite3.OperationalError:
            return await finish(self._run(work, "BEGIN"))

    async def close(self) -> None:
        """When nothing runs any more."""
        await asyncio.to_thread(self._close)

    def _run(self, work: Callable[[Transaction], T], begin: Literal["BEGIN", "BEGIN IMMEDIATE"]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, work, begin)

    def _transaction(self, work: Callable[[Transaction], T], begin: str) -> T:
        connection = self._free.pop() if self._free else self._open()
        try:
            with connection:  # commits, or rolls back
                connection.execute(begin)
                return work(_OnSqlite(connection))
        finally:
            self._free.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        self._configure(connection, None)
        return connection

    def _close(self) -> None:
        self._threads.shutdown()
        for connection in (*self._free, self._own):
            connection.close()


class _OnSqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, prepared: Prepared, values: Values, /) -> list[Any]:
        return prepared.run(self._connection, values)
