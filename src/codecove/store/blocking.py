"""SQLite in threads of its own: a whole transaction is one change of threads.

The asynchronous driver changes threads several times for each statement, which is most of what a small transaction
costs (docs/decisions/http-overhead.md).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine

T = TypeVar("T")

_THREADS = 4


class Blocking:
    """Connections to a database that is a file, and the threads that use them."""

    def __init__(self, url: URL, prepare: Callable[[Engine], None]) -> None:
        """`prepare` is called once, to set up how connections and transactions begin."""
        self._engine = create_engine(url.set(drivername="sqlite"), pool_size=_THREADS, max_overflow=0)
        prepare(self._engine)
        self._threads = ThreadPoolExecutor(_THREADS, "database")

    def begin(self, work: Callable[[Connection], T], **options: bool) -> asyncio.Future[T]:
        """`work` in a transaction with these execution options. Not to be cancelled: the thread goes on."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, work, options)

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
