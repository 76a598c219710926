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
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

import codecove
from codecove.store.database import Database, UnsupportedDatabase
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerRow, KeyRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID

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


async def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        async with Database(f"sqlite:///{tmp_path}/codecove.db") as database, database.write() as session:
            session.add(workspace(name))
    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
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
            row = await session.get_one(WorkspaceRow, "counter")
            row.name = str(int(row.name) + 1)

    await asyncio.gather(*(count() for _ in range(40)))
    assert "40" in await names(database)


async def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    async with database.write() as session:
        session.add(workspace("one"))
        await session.flush()
        assert await names(database) == {"default"}


async def test_a_writer_waits_for_another_process(database: Database, tmp_path: Path) -> None:
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


async def test_cancelled_at_any_moment_a_reader_keeps_no_connection(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:

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


async def test_opening_and_closing_leaves_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    async def use() -> None:
        async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
            await asyncio.gather(*(names(database) for _ in range(3)))

    await use()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(50):
        await use()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    # The loop's own pool, in which migrations run, may still be growing to its size.
    assert threading.active_count() <= threads + 8


async def test_before_it_is_opened_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with database"):
        async with Database("sqlite:////nowhere/codecove.db").read() as session:
            await session.scalar(select(KeyRow))


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(UnsupportedDatabase, match="mysql"):
        Database("mysql://localhost/codecove")
