"""Transactions in one step: as whole, as serial and as hard to cancel as the others."""

import asyncio
import random
import sqlite3
import threading
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, insert, select, update

from codecove.store.database import Change, Database
from codecove.store.finish import to_the_end
from codecove.store.prepared import Prepared, Transaction
from codecove.store.tables import ContainerRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID
from tests.store.test_database import MOMENT, names, workspace

ADD = Prepared(insert(WorkspaceRow))
COUNT = Prepared(select(func.count()).select_from(WorkspaceRow))
STORED = Prepared(select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == DEFAULT_WORKSPACE_ID))
GROW = Prepared(update(WorkspaceRow).values(storage_bytes=WorkspaceRow.storage_bytes + 1))


def adding(name: str) -> Change:
    row = {"id": name, "name": name, "created_at": MOMENT, "storage_bytes": 0}
    return lambda transaction: transaction.run(ADD, row)


def grow(transaction: Transaction) -> None:
    transaction.run(GROW, {})


def count(transaction: Transaction) -> int:
    ((number,),) = transaction.run(COUNT, {})
    return int(number)


async def test_all_changes_are_written_or_none(database: Database) -> None:
    await database.write_at_once(adding("one"), adding("two"))

    def fail(_: Transaction) -> None:
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
    @to_the_end
    async def add_slowly() -> None:
        async with database.write() as session:
            row = await session.get_one(WorkspaceRow, DEFAULT_WORKSPACE_ID, with_for_update={"key_share": True})
            await asyncio.sleep(0.001)
            row.storage_bytes += 1

    await asyncio.gather(*(work for _ in range(20) for work in (database.write_at_once(grow), add_slowly())))
    assert await database.read_at_once(lambda transaction: transaction.run(STORED, {})) == [(40,)]


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

    def busy_here(transaction: Transaction) -> int:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise sqlite3.OperationalError("database is locked")
        return count(transaction)

    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
        assert await database.read_at_once(busy_here) == 1
        assert threads[0] is threading.main_thread()
        assert threads[1] is not threading.main_thread()
        # Not as it was when the connection was first used.
        async with Database(f"sqlite:///{tmp_path}/codecove.db") as other:
            await other.write_at_once(adding("one"))
        assert await database.read_at_once(count) == 2


EVERY_KIND = {
    "id": "cntr_1",
    "workspace_id": DEFAULT_WORKSPACE_ID,
    "state": "running",
    "created_at": MOMENT.astimezone(timezone(timedelta(hours=5))),
    "last_active_at": MOMENT,
    "ended_at": None,
    "gives_way": True,
}


async def test_values_are_as_sqlalchemy_writes_and_reads_them(database: Database) -> None:
    add, chosen = Prepared(insert(ContainerRow)), [getattr(ContainerRow, name) for name in EVERY_KIND]
    look = Prepared(select(*chosen).where(ContainerRow.id == bindparam("container"), ContainerRow.state == "running"))
    await database.write_at_once(lambda transaction: transaction.run(add, EVERY_KIND))
    async with database.read() as session:
        row = (await session.execute(select(*chosen))).one()
    assert dict(zip(EVERY_KIND, row, strict=True)) == EVERY_KIND
    assert await database.read_at_once(lambda transaction: transaction.run(look, {"container": "cntr_1"})) == [row]
    assert await database.read_at_once(lambda transaction: transaction.run(look, {"container": "cntr_2"})) == []


async def test_a_value_that_sqlalchemy_would_make_must_be_given(tmp_path: Path) -> None:
    row = {"id": "one", "name": "one", "created_at": MOMENT}
    add = Prepared(insert(WorkspaceRow))
    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
        with pytest.raises(TypeError, match="a value is missing"):
            await database.write_at_once(lambda transaction: transaction.run(add, row))
