"""Several files that are stored by one call: each as if it were alone."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from codecove.errors import Forbidden, InvalidRequest, TooLarge
from codecove.files.service import File, Files, NewFile
from codecove.store.database import Database
from codecove.store.tables import FileRow, UnownedBlobRow, WorkspaceRow
from codecove.workspaces import Caller, Quotas
from tests.files.conftest import MAX_SIZE
from tests.files.support import joined, pieces, pieces_then, stored


async def left(database: Database) -> tuple[int, int, int]:
    """How many files, how many blobs without one, and the sum of sizes."""
    async with database.read() as session:
        files = (await session.scalars(select(FileRow))).all()
        unowned = (await session.scalars(select(UnownedBlobRow))).all()
        summed = await session.scalars(select(WorkspaceRow.storage_bytes))
        return len(files), len(unowned), sum(summed)


async def test_each_is_there_in_their_order(files: Files, caller: Caller) -> None:
    new = [NewFile(f"{number}.txt", pieces(str(number).encode()), downloadable=True) for number in range(30)]
    made = await files.create_all(caller, new)
    assert [file.filename for file in made if isinstance(file, File)] == [f"{number}.txt" for number in range(30)]
    listed = await files.list(caller, limit=100)
    assert listed.data == [*reversed(made)]
    assert await joined(files.content(caller, listed.data[0])) == b"29"


async def test_one_that_fails_leaves_nothing_and_the_others_are_there(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    new = [
        NewFile("a", pieces(b"one")),
        NewFile("b/c", pieces(b"never read")),
        NewFile("d", pieces_then(ConnectionError(), b"two")),
        NewFile("e", pieces(bytes(MAX_SIZE), b"x")),
        NewFile("f", pieces(b"three"), expires_in=lambda: 1),
        NewFile("g", pieces(b"four")),
    ]
    made = await files.create_all(caller, new)
    kinds = [File, InvalidRequest, ConnectionError, TooLarge, InvalidRequest, File]
    assert [type(outcome) for outcome in made] == kinds
    assert await left(database) == (2, 0, 7)
    assert len(stored(tmp_path)) == 2


async def test_what_has_no_room_is_left_out_and_what_has_is_not(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    limited = replace(caller, quotas=Quotas(storage_bytes=100))
    new = [NewFile(str(size), pieces(bytes(size))) for size in (60, 50, 30, 20, 10)]
    made = await files.create_all(limited, new)
    assert [type(outcome) for outcome in made] == [File, Forbidden, File, Forbidden, File]
    assert await left(database) == (3, 0, 100)
    assert len(stored(tmp_path)) == 3
    with pytest.raises(Forbidden):
        await files.create_all(limited, [NewFile("a", pieces(b"x")), NewFile("b", pieces(b"y"))])
    assert await left(database) == (3, 0, 100)


async def test_the_same_content_among_them_is_stored_once(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    await files.create(caller, filename="old", data=pieces(b"old"))
    made = await files.create_all(
        caller, [NewFile(f"{number}", pieces(b"new" if number % 2 else b"old")) for number in range(10)]
    )
    assert len(stored(tmp_path)) == 2
    assert await left(database) == (11, 0, 33)
    for file in made:
        assert isinstance(file, File)
        assert await joined(files.content(caller, file)) in (b"old", b"new")
        await files.delete(caller, file.id)
    assert len(stored(tmp_path)) == 1


async def test_cancelled_at_any_moment_nothing_of_any_is_left(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    pick = random.Random(8)
    for _ in range(30):
        new = [NewFile(f"{number}", pieces(b"same" if number % 3 else b"other")) for number in range(12)]
        storing = asyncio.create_task(files.create_all(caller, new))
        await asyncio.sleep(pick.random() * 0.03)
        storing.cancel()
        await asyncio.wait({storing})
        if not storing.cancelled():
            for file in storing.result():
                assert isinstance(file, File)
                await files.delete(caller, file.id)
        assert await left(database) == (0, 0, 0)
        assert stored(tmp_path) == []
