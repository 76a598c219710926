import ast
import asyncio
import os
import random
import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import URL, select, update
from sqlalchemy.exc import IntegrityError

import codecove
from codecove.store.address import UnsupportedDatabase
from codecove.store.claim import DatabaseInUse
from codecove.store.database import Database, DatabaseUnavailable
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerRow, KeyRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID
from tests.support.postgres import Postgres

MOMENT = datetime(2026, 7, 30, 18, 54, 8, 960841, tzinfo=UTC)


def workspace(name: str, created_at: datetime = MOMENT) -> WorkspaceRow:
    return WorkspaceRow(id=name, name=name, created_at=created_at)


async def names(database: Database) -> set[str]:
    async with database.read() as session:
        return set(await session.scalars(select(WorkspaceRow.name)))


async def test_what_a_block_wrote_is_there_after_it(database: Database) -> None:
    async with database.write() as session:
        session.add(workspace("one"))
    assert await names(database) == {"default", "one"}


async def test_what_a_failing_block_wrote_is_undone(database: Database) -> None:
    with pytest.raises(ValueError, match="changed my mind"):
        async with database.write() as session:
            session.add(workspace("one"))
            await session.flush()
            raise ValueError("changed my mind")
    assert await names(database) == {"default"}


async def test_what_was_written_is_there_when_it_is_opened_again(database_url: URL) -> None:
    for name in ("one", "two"):
        async with Database(database_url) as database, database.write() as session:
            session.add(workspace(name))
    async with Database(database_url) as database:
        assert await names(database) == {"default", "one", "two"}


async def test_moments_come_back_as_they_were_in_utc(database: Database) -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    async with database.write() as session:
        session.add(workspace("one", elsewhere))
    async with database.read() as session:
        moment = await session.scalar(select(WorkspaceRow.created_at).where(WorkspaceRow.id == "one"))
    assert moment == MOMENT
    assert moment is not None and moment.utcoffset() == timedelta(0)


async def test_moments_are_compared_as_moments(database: Database) -> None:
    async with database.write() as session:
        session.add_all([workspace("one", MOMENT), workspace("two", MOMENT + timedelta(microseconds=1))])
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=-8)))
    async with database.read() as session:
        found = await session.scalars(
            select(WorkspaceRow.name).where(
                WorkspaceRow.created_at <= elsewhere, WorkspaceRow.id != DEFAULT_WORKSPACE_ID
            )
        )
        assert list(found) == ["one"]


async def test_a_row_of_no_workspace_is_refused(database: Database) -> None:
    row = ContainerRow(id="c", workspace_id="wrkspc_nobody", state="running", created_at=MOMENT, last_active_at=MOMENT)
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(row)


async def test_concurrent_writers_lose_no_update(database: Database) -> None:
    async with database.write() as session:
        session.add(workspace("0"))
        await session.flush()
        await session.execute(update(WorkspaceRow).where(WorkspaceRow.name == "0").values(id="counter"))

    async def count() -> None:
        async with database.write() as session:
            row = await session.get_one(WorkspaceRow, "counter", with_for_update={"key_share": True})
            row.name = str(int(row.name) + 1)

    await asyncio.gather(*(count() for _ in range(40)))
    assert "40" in await names(database)


async def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    async with database.write() as session:
        session.add(workspace("one"))
        await session.flush()
        assert await names(database) == {"default"}


async def test_a_reader_sees_one_state_of_the_database(database: Database) -> None:
    async with database.read() as session:
        before = set(await session.scalars(select(WorkspaceRow.name)))
        async with database.write() as other:
            other.add(workspace("one"))
        assert set(await session.scalars(select(WorkspaceRow.name))) == before


async def test_an_sqlite_writer_waits_for_another_process(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
        await writes_after_another_process(database, tmp_path)


async def writes_after_another_process(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "codecove.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with database.write() as session:
                session.add(workspace("one"))

        writing = asyncio.create_task(write())
        done, _ = await asyncio.wait({writing}, timeout=0.2)
        assert not done
        other.execute("COMMIT")
        await writing
    finally:
        other.close()
    assert await names(database) == {"default", "one"}


async def test_cancelled_at_any_moment_a_writer_holds_nobody_up(database: Database) -> None:
    @to_the_end
    async def write(number: int) -> None:
        async with database.write() as session:
            session.add(workspace(f"first {number}"))
            await session.flush()
            session.add(workspace(f"second {number}"))

    pick = random.Random(1)
    for number in range(80):
        writing = asyncio.create_task(write(number))
        await asyncio.sleep(pick.random() * 0.004)
        writing.cancel()
        await asyncio.wait({writing})
    await asyncio.wait_for(write(1000), 10)
    found = await names(database)
    for number in range(80):
        assert (f"first {number}" in found) == (f"second {number}" in found)


async def test_cancelled_at_any_moment_a_reader_keeps_no_connection(database_url: URL) -> None:
    async with Database(database_url) as database:

        @to_the_end
        async def read() -> None:
            await names(database)

        await read()
        tasks = []
        descriptors = len(os.listdir("/proc/self/fd"))
        pick = random.Random(1)
        for _ in range(80):
            tasks.append(asyncio.create_task(read()))
            await asyncio.sleep(pick.random() * 0.003)
            tasks[-1].cancel()
            await asyncio.wait({tasks[-1]})
        assert len(os.listdir("/proc/self/fd")) <= descriptors


def transactions(module: ast.Module) -> Iterator[tuple[str, bool]]:
    """The functions of a module that use a transaction, and whether these run to the end."""
    for function in ast.walk(module):
        if isinstance(function, ast.AsyncFunctionDef):
            blocks = [node for node in ast.walk(function) if isinstance(node, ast.AsyncWith)]
            used = [ast.unparse(item.context_expr) for block in blocks for item in block.items]
            if any(re.search(r"database\.(read|write)\(\)$", expression) for expression in used):
                yield function.name, "to_the_end" in [ast.unparse(decorator) for decorator in function.decorator_list]


def test_no_transaction_in_the_code_can_be_cancelled() -> None:
    package = Path(codecove.__file__).parent
    found = {
        f"{path.relative_to(package)}: {name}": whole
        for path in package.rglob("*.py")
        for name, whole in transactions(ast.parse(path.read_text()))
    }
    assert len(found) > 10
    assert [place for place, whole in found.items() if not whole] == []


async def test_opening_and_closing_leaves_no_descriptor_and_no_thread(database_url: URL) -> None:
    async def use() -> None:
        async with Database(database_url) as database:
            await asyncio.gather(*(names(database) for _ in range(3)))

    await use()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        await use()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    # The loop's own pool, in which migrations run, may still be growing to its size.
    assert threading.active_count() <= threads + 8


async def test_before_it_is_opened_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with database"):
        async with Database("sqlite:////nowhere/codecove.db").read() as session:
            await session.scalar(select(KeyRow))


async def test_only_one_server_at_a_time_has_a_postgresql_database(postgres: Postgres) -> None:
    async with postgres.database() as url, Database(url) as one, Database(url) as two:
        async with one.claimed():
            with pytest.raises(DatabaseInUse, match="another server"):
                async with two.claimed():
                    pass
        async with two.claimed():
            pass


async def test_a_connection_that_broke_is_replaced(postgres: Postgres) -> None:
    async with postgres.database() as url, Database(url) as database:
        await names(database)
        await postgres.break_connections(url)
        assert await names(database) == {"default"}


@pytest.mark.parametrize("url", ["postgresql://me:hush@127.0.0.1:1/db", "postgresql://me:hush@/db?host=/nowhere"])
async def test_a_database_that_is_not_there_is_reported_without_the_password(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as raised:
        async with Database(url):
            pass
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://localhost/codecove", "mysql"),
        ("postgresql:///codecove", "must name"),
        ("postgresql://me@localhost", "must name"),
        ("postgresql://me@localhost/db?colour=red", "colour"),
        ("codecove", "can't be parsed"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str, problem: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=problem):
        Database(url)


async def test_no_variable_of_another_program_changes_where_it_connects(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_of_variables = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "PGTARGETSESSIONATTRS")
    async with postgres.database() as url:
        with monkeypatch.context() as environment:
            for name in names_of_variables:
                environment.setenv(name, "1")
            async with Database(url) as database:
                assert await names(database) == {"default"}
