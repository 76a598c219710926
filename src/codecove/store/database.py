"""The connection to the database, and the two kinds of transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from codecove.store.address import Address, address
from codecove.store.blocking import Blocking
from codecove.store.claim import hold
from codecove.store.finish import finish, to_the_end
from codecove.store.migrate import prepare
from codecove.store.prepared import Prepared, Transaction, Values
from codecove.store.steps import SchemaMismatch

T = TypeVar("T")
Change = Callable[[Transaction], object]
"""What is written in a transaction; see `Database.write_at_once`."""

_WRITES = "codecove_writes"
_CONNECTIONS = 10
SERVER = "server"
"""Who acts when nobody in particular asked for it."""
ACTOR = "actor"
"""In the `info` of a transaction that writes: who acts."""


class DatabaseUnavailable(Exception):
    """The database can't be reached or migrated. The message is for the operator and has no secret in it."""


class Database:
    """A database, migrated when entered to a schema that this version works with.

    What uses a transaction is decorated with `@to_the_end`, so that no transaction is ever cancelled: the driver
    answers a cancellation by closing the connection, and SQLite keeps a closed connection's locks for as long as
    the cancelled task's traceback holds one of its statements. A test looks for it.
    """

    def __init__(self, url: str | URL, *, actor: str = SERVER) -> None:
        """`url` is as `store/address.py` says; `actor` is whom the audit log names. Raises `UnsupportedDatabase`."""
        self._address = address(url)
        self._actor = actor
        self._engine: AsyncEngine | None = None
        self._blocking: Blocking | None = None
        self.unfinished: list[str] = []
        """The post-steps (`store/steps.py`) that an operator has still to apply."""
        # SQLite has one writer at a time and lets the others poll. Waiting here is fair and costs no thread.
        self._writer = asyncio.Lock() if self._address.is_sqlite else None

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._address

    async def __aenter__(self) -> Self:
        """Raises `DatabaseUnavailable`."""
        try:
            found = await finish(asyncio.to_thread(prepare, self._address))
        except (OSError, SQLAlchemyError, SchemaMismatch) as error:
            cause = error.__cause__ or error
            raise DatabaseUnavailable(f"the database can't be used: {cause}") from error
        self.unfinished = [] if found.is_new else [step.id for step in found.pending_in("post")]
        self._engine = _engine(self._address)
        if self._address.is_sqlite:
            self._blocking = Blocking(self._address.url, configure=_configure_sqlite)
        return self

    async def __aexit__(self, *exc: object) -> None:
        engine, self._engine = self._engine, None
        blocking, self._blocking = self._blocking, None
        if engine is not None:
            await finish(engine.dispose())
        if blocking is not None:
            await finish(blocking.close())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads: it sees one state of the database from its first query on."""
        engine = self._opened()
        if not self._address.is_sqlite:
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write; committed at the end of the block, undone if that raises.

        SQLite: such transactions run one after the other. PostgreSQL: what one has read may change before it writes,
        unless it read it `with_for_update(key_share=True)`.
        """
        engine = self._opened().execution_options(**{_WRITES: True})
        async with AsyncExitStack() as stack:
            if self._writer is not None:
                await stack.enter_async_context(self._writer)
            session = await stack.enter_async_context(
                AsyncSession(engine, expire_on_commit=False, info={ACTOR: self._actor})
            )
            yield session
            await session.commit()

    async def read_at_once(self, work: Callable[[Transaction], T]) -> T:
        """For what every request asks: `work` only reads a few rows by their keys, and waits for nothing else.

        Each of its statements sees what has been committed by then. SQLite: in the event loop, as to hand it to a
        thread takes longer. PostgreSQL: a transaction would be two more exchanges with the database.
        """
        if self._blocking is not None:
            return await self._blocking.read(work)
        return await self._look(work)

    @to_the_end
    async def _look(self, work: Callable[[Transaction], T]) -> T:
        engine = self._opened().execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            return await connection.run_sync(lambda inner: work(_OnPostgresql(inner)))

    @to_the_end
    async def write_at_once(self, *changes: Change) -> None:
        """As `write`, for what every request waits for: all `changes` in one transaction. They wait for nothing else.

        SQLite: one change of threads, where `write` takes some for each statement.
        """
        if self._blocking is None or self._writer is None:
            async with self.write() as session:
                connection = await session.connection()
                await connection.run_sync(lambda inner: _make(changes, _OnPostgresql(inner)))
            return
        async with self._writer:
            await self._blocking.write(lambda transaction: _make(changes, transaction))

    @asynccontextmanager
    async def claimed(self) -> AsyncIterator[None]:
        """Be the one server of this database for the time of the block. Raises `DatabaseInUse`.

        SQLite: the lock of the data directory does that already.
        """
        if self._address.is_sqlite:
            yield
            return
        async with hold(self._opened()):
            yield

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise RuntimeError("the database is not open: use it inside `async with database:`")
        return self._engine


class _OnPostgresql:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, prepared: Prepared, values: Values, /) -> Sequence[Any]:
        result = self._connection.execute(prepared.statement, values)
        return result.all() if result.returns_rows else ()


def _make(changes: Iterable[Change], transaction: Transaction) -> None:
    for change in changes:
        change(transaction)


def _engine(place: Address) -> AsyncEngine:
    if not place.is_sqlite:
        return create_async_engine(
            place.url, connect_args=place.connect_args, pool_size=_CONNECTIONS, max_overflow=0, pool_pre_ping=True
        )
    engine = create_async_engine(place.url)
    _prepare_sqlite(engine.sync_engine)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


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
