"""Bringing a database to the current schema. Blocking: call it in a thread.

Each function is one transaction that holds a lock, so that of two servers that start at once one migrates and the
other waits, and a crash leaves the old schema. An SQLite file is made if there is none.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from codecove.store.address import Address
from codecove.store.claim import MIGRATING
from codecove.store.steps import Phase, Progress, Step, due_at_start, due_by_command, progress

MIGRATIONS = Path(__file__).parent / "migrations"

_PATIENCE = 60
"""Seconds to wait for another process that is migrating the same database."""


def prepare(place: Address, migrations: Path = MIGRATIONS) -> Progress:
    """Apply what a server applies when it starts. The value is where the database was. Raises `SchemaMismatch`."""
    return _transaction(place, partial(_apply, migrations, due_at_start))


def upgrade(place: Address, phases: Collection[Phase], migrations: Path = MIGRATIONS) -> Progress:
    """Apply the steps of these phases. The value is where the database was. Raises `SchemaMismatch`."""
    return _transaction(place, partial(_apply, migrations, partial(due_by_command, phases=phases)))


def status(place: Address, migrations: Path = MIGRATIONS) -> Progress:
    """Where a database is."""
    return _transaction(place, partial(_progress, migrations))


def _apply(migrations: Path, due: Callable[[Progress], list[Step]], connection: Connection) -> Progress:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    found = _progress(migrations, connection)
    for step in due(found):
        command.upgrade(config, step.id)
    return found


def _progress(migrations: Path, connection: Connection) -> Progress:
    return progress(ScriptDirectory(str(migrations)), MigrationContext.configure(connection).get_current_heads())


def _transaction(place: Address, work: Callable[[Connection], Progress]) -> Progress:
    return _in_sqlite(place, work) if place.is_sqlite else asyncio.run(_in_postgresql(place, work))


def _in_sqlite(place: Address, work: Callable[[Connection], Progress]) -> Progress:
    engine = create_engine(place.url.set(drivername="sqlite+pysqlite"), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101  # what the driver's name says
            driver.isolation_level = None
            driver.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
            _use_wal(driver)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            found = work(connection)
            connection.commit()
            return found
    finally:
        engine.dispose()


def _use_wal(driver: sqlite3.Connection) -> None:
    """Put the file into WAL mode, for good. SQLite does not wait for others here by itself."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


async def _in_postgresql(place: Address, work: Callable[[Connection], Progress]) -> Progress:
    engine = create_async_engine(place.url, connect_args=place.connect_args, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
