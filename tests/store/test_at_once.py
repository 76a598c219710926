"""Transactions in one step: as whole, as serial and as hard to cancel as the others."""

import asyncio
import random
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import OperationalError

from codecove.store.database import Change, Database
from codecove.store.finish import to_the_end
from codecove.store.tables import WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID
from tests.store.test_database import MOMENT, names, workspace


def adding(name: str) -> Change:
    row = {"id": name, "name": name, "created_at": MOMENT}
    return lambda connection: connection.execute(insert(WorkspaceRow), row)


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(WorkspaceRow)) or 0


async def test_all_changes_are_written_or_none(database: Database) -> None:
    await database.write_at_once(adding("one"), adding("two"))

    def fail(_: Connection) -> None:
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        await database.write_at_once(adding("three"), fail)
    assert await names(database) == {"default", "one", "two"}
    assert await database.read_at_once(count) == 3


async def test_one_that_only_reads_is_not_held_up_by_a_writer_and_sees_nothing_of_it(database: Database) -> None:
    async with database.write() as session:
        session.add(workspace("one"))
        await session.flush()
        assert await asyncio.wait_for(database.read_at_once(count), 10) == 1


async def test_writers_of_both_kinds_lose_nothing_of_each_other(database: Database) -> None:
    def add(connection: Connection) -> None:
        bytes_ = WorkspaceRow.storage_bytes
        connection.execute(update(WorkspaceRow).values(storage_bytes=bytes_ + 1))

    @to_the_end
    async def add_slowly() -> None:
        async with database.write() as session:
            row = await session.get_one(WorkspaceRow, DEFAULT_WORKSPACE_ID, with_for_update={"key_share": True})
            await asyncio.sleep(0.001)
            row.storage_bytes += 1

    await asyncio.gather(*(work for _ in range(20) for work in (database.write_at_once(add), add_slowly())))
    stored = select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == DEFAULT_WORKSPACE_ID)
    assert await database.read_at_once(lambda connection: connection.scalar(stored)) == 40


async def test_cancelled_at_any_moment_it_is_written_and_holds_nobody_up(database: Database) -> None:
    pick = random.Random(2)
    for number in range(80):
        writing = asyncio.create_task(database.write_at_once(adding(f"a{number}"), adding(f"b{number}")))
        await asyncio.sleep(pick.random() * 0.002)
        writing.cancel()
        await asyncio.wait({writing})
    await asyncio.wait_for(database.write_at_once(adding("last")), 10)
    found = await names(database)
    for number in range(80):
        assert (f"a{number}" in found) == (f"b{number}" in found)


async def test_sqlite_is_read_in_the_event_loop_unless_that_would_have_to_wait(tmp_path: Path) -> None:
    threads = []

    def busy_here(connection: Connection) -> int:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise OperationalError("SELECT", None, sqlite3.OperationalError("database is locked"))
        return count(connection)

    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
        assert await database.read_at_once(busy_here) == 1
        assert threads[0] is threading.main_thread()
        assert threads[1] is not threading.main_thread()
        # Not as it was when the connection was first used.
        async with Database(f"sqlite:///{tmp_path}/codecove.db") as other:
            await other.write_at_once(adding("one"))
        assert await database.read_at_once(count) == 2
