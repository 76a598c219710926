"""Bringing a database to the current schema. Blocking: call it in a thread."""

import sqlite3
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, NullPool, create_engine

_PATIENCE = 60.0
"""Seconds to wait for another process that is migrating the same database."""


def upgrade(url: URL) -> None:
    """Migrate the database at `url` to the newest schema, making it if there is none.

    The whole of it is one transaction that holds the write lock, so that of two servers that start at once one
    migrates and the other waits, and a crash leaves the old schema.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    engine = create_engine(url.set(drivername="sqlite+pysqlite"), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101  # what the driver's name says
            driver.isolation_level = None
            driver.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}")
            _use_wal(driver)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
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
