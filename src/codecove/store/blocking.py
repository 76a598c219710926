"""SQLite without its asynchronous driver, which changes threads several times for each statement.

That is most of what a small transaction costs (docs/decisions/http-overhead.md). Here one that writes is one change of
threads, and one that reads a row or two is none.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import OperationalError

from codecove.store.finish import finish

T = TypeVar("T")

_THREADS = 4


class Blocking:
    """Connections to a database that is a file, and the threads that use them."""

    def __init__(
        self, url: URL, *, configure: Callable[[Any, object], None], begin: Callable[[Connection], None]
    ) -> None:
        """`configure` sets up a connection of the driver's, `begin` begins a transaction."""
        url = url.set(drivername="sqlite")
        self._engine = create_engine(url, pool_size=_THREADS, max_overflow=0)
        event.listen(self._engine, "connect", configure)
        event.listen(self._engine, "begin", begin)
        own = create_engine(url)
        event.listen(own, "connect", configure)
        self._own = own.connect()
        """The event loop's. It has no transactions: each statement sees what is committed."""
        self._own.exec_driver_sql("PRAGMA busy_timeout = 0")
        self._threads = ThreadPoolExecutor(_THREADS, "database")

    def begin(self, work: Callable[[Connection], T], **options: bool) -> asyncio.Future[T]:
        """`work` in a transaction with these execution options. Not to be cancelled: the thread goes on."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, work, options)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`work`, which looks at a few rows by their keys: here and now, unless it would have to wait for somebody.

        In WAL mode a reader waits for nobody but one who repairs or closes the database.
        """
        try:
            return work(self._own)
        except OperationalError:
            return await finish(self.begin(work))

    def _transaction(self, work: Callable[[Connection], T], options: dict[str, bool]) -> T:
        with self._engine.connect() as connection:
            connection.execution_options(**options)
            with connection.begin():
                return work(connection)

    async def close(self) -> None:
        """When nothing runs any more."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()
        self._own.close()
        self._own.engine.dispose()
