import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection, NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from codecove.store.address import address
from codecove.store.database import Database
from codecove.store.migrate import prepare
from codecove.store.tables import Table
from codecove.workspaces import DEFAULT_WORKSPACE_ID

UPGRADE = """
import sys
from codecove.store.address import address
from codecove.store.migrate import prepare
prepare(address(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    """Of a database with nothing in it."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "codecove.db"))
        return
    async with request.getfixturevalue("postgres").new_database() as url:
        yield url


async def migrate(url: URL) -> None:
    async with Database(url):
        pass


async def connect(url: URL) -> AsyncConnection:
    place = address(url)
    return await create_async_engine(place.url, connect_args=place.connect_args, poolclass=NullPool).connect().start()


async def differences(url: URL) -> list[object]:
    """Between the schema that the migrations have made and the tables that the code uses."""

    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Table.metadata))

    connection = await connect(url)
    try:
        return await connection.run_sync(compare)
    finally:
        await connection.close()


async def test_the_migrations_make_the_tables_that_the_code_uses(url: URL) -> None:
    await migrate(url)
    assert await differences(url) == []


async def test_a_new_database_has_the_default_workspace(url: URL) -> None:
    await migrate(url)
    await migrate(url)
    connection = await connect(url)
    try:
        found = (await connection.execute(text("SELECT id, name FROM workspaces"))).all()
    finally:
        await connection.close()
    assert [tuple(row) for row in found] == [(DEFAULT_WORKSPACE_ID, "default")]


async def test_an_sqlite_file_is_in_wal_mode(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "codecove.db"))
    await migrate(url)
    connection = await connect(url)
    try:
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
    finally:
        await connection.close()


def test_a_directory_with_odd_characters_in_its_name_does(tmp_path: Path) -> None:
    odd = tmp_path / "100% ünïcode"
    odd.mkdir()
    prepare(address(URL.create("sqlite", database=str(odd / "codecove.db"))))
    assert (odd / "codecove.db").exists()


def in_another_process(url: URL) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-W", "error", "-c", UPGRADE, str(url)], stderr=subprocess.PIPE)


async def test_servers_that_start_at_once_all_find_the_schema(url: URL) -> None:
    for process in [in_another_process(url) for _ in range(2)]:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert await differences(url) == []


async def test_a_server_killed_while_migrating_leaves_what_the_next_one_can_use(url: URL) -> None:
    pick = random.Random(2)
    for _ in range(3):
        process = in_another_process(url)
        time.sleep(0.3 + pick.random() * 0.6)
        process.kill()
        process.communicate()
    await migrate(url)
    assert await differences(url) == []
