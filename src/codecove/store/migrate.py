"""Bringing a database to the current schema. Blocking: call it in a thread."""

import asyncio
import sqlite3
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from codecove.store.address import Address
from codecove.store.claim import MIGRATING

_PATIENCE = 60
"""Seconds to wait for another process that is migrating the same database."""


def upgrade(place: Address) -> None:
    """Migrate a database to the newest schema; an SQLite file is made if there is none.

    The whole of it is one transaction that holds a lock, so that of two servers that start at once one migrates and
    the other waits, and a crash leaves the old schema.
    """
    if place.is_sqlite:
        _upgrade_sqlite(place)
    else:
        asyncio.run(_upgrade_postgresql(place))


def _upgrade_sqlite(place: Address) -> None:
    engine = create_engine(place.url.set(drivername="sqlite+pysqlite"), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101  # what the driver's name says
            driver.isolation_level = None
            driver.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
            _use_wal(driver)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _run(connection)
            connection.commit()
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


async def _upgrade_postgresql(place: Address) -> None:
    engine = create_async_engine(place.url, connect_args=place.connect_args, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
