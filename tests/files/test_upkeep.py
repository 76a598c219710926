"""Files that expire, room that runs out, and what crashes leave behind."""

import asyncio
import hashlib
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, select

from codecove.errors import Forbidden, InvalidRequest, NotFound
from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.files.upkeep import Upkeep
from codecove.store.database import Database
from codecove.store.tables import DeletedFileRow, FileRow, UnownedBlobRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.files.support import MOMENT, joined, pieces, pieces_then, stored

HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = MOMENT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(database: Database, blobs: Blobs, clock: Clock) -> Files:
    return Files(database=database, blobs=blobs, max_size=1000, quota=100, now=clock)


@pytest.fixture
async def upkeep(database: Database, blobs: Blobs, clock: Clock) -> AsyncIterator[Upkeep]:
    async with Upkeep(database=database, blobs=blobs, now=clock) as upkeep:
        yield upkeep


async def unowned(database: Database) -> list[str]:
    async with database.read() as session:
        return list(await session.scalars(select(UnownedBlobRow.key)))


async def used(database: Database) -> int | None:
    async with database.read() as session:
        return await session.scalar(select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == DEFAULT_WORKSPACE_ID))


async def test_a_file_is_gone_when_its_time_is_over(
    files: Files, caller: Caller, clock: Clock, upkeep: Upkeep, tmp_path: Path, database: Database
) -> None:
    file = await files.create(caller, filename="a", data=pieces(b"x"), expires_in=lambda: 3600)
    stays = await files.create(caller, filename="b", data=pieces(b"y"))
    assert file.expires_at == MOMENT + HOUR
    clock.now += HOUR - timedelta(microseconds=1)
    await upkeep.sweep()
    assert await joined(files.content(caller, file)) == b"x"
    clock.now += timedelta(microseconds=1)
    for action in (files.get(caller, file.id), joined(files.content(caller, file)), files.delete(caller, file.id)):
        with pytest.raises(NotFound):
            await action
    assert (await files.list(caller)).data == [stays]
    assert len(stored(tmp_path)) == 2
    await upkeep.sweep()
    assert len(stored(tmp_path)) == 1
    assert (await unowned(database), await used(database)) == ([], 1)


async def test_content_that_one_file_keeps_outlives_the_other(
    files: Files, caller: Caller, clock: Clock, upkeep: Upkeep
) -> None:
    await files.create(caller, filename="a", data=pieces(b"same"), expires_in=lambda: 3600)
    stays = await files.create(caller, filename="b", data=pieces(b"same"))
    clock.now += HOUR
    await upkeep.sweep()
    assert await joined(files.content(caller, stays)) == b"same"


async def test_many_files_expire_at_once(files: Files, caller: Caller, clock: Clock, upkeep: Upkeep) -> None:
    for _ in range(30):
        await files.create(caller, filename="a", data=pieces(), expires_in=lambda: 3600)
    clock.now += HOUR
    await upkeep.sweep()
    with pytest.raises(NotFound):
        await files.get(caller, "file_01" + "x" * 22)
    assert (await files.list(caller)).data == []


@pytest.mark.parametrize("seconds", [0, -1, 3599, 7_776_001])
async def test_an_expiry_out_of_range_is_refused_and_leaves_nothing(
    files: Files, caller: Caller, tmp_path: Path, database: Database, seconds: int
) -> None:
    with pytest.raises(InvalidRequest, match="expires_in_seconds: "):
        await files.create(caller, filename="a", data=pieces(b"x"), expires_in=lambda: seconds)
    assert (stored(tmp_path), await unowned(database), await used(database)) == ([], [], 0)


async def test_a_deleted_file_is_forgotten_as_a_place_in_lists_after_some_days(
    files: Files, caller: Caller, clock: Clock, upkeep: Upkeep, database: Database
) -> None:
    file = await files.create(caller, filename="a", data=pieces(b"x"))
    await files.delete(caller, file.id)
    await files.list(caller, after_id=file.id)
    clock.now += timedelta(days=8)
    await upkeep.sweep()
    async with database.read() as session:
        assert (await session.scalars(select(DeletedFileRow))).all() == []


async def test_a_workspace_may_use_its_room_and_no_more(
    files: Files, caller: Caller, stranger: Caller, tmp_path: Path
) -> None:
    first = await files.create(caller, filename="a", data=pieces(bytes(60)))
    with pytest.raises(Forbidden, match="100 bytes"):
        await files.create(caller, filename="b", data=pieces(bytes(41)))
    await files.create(caller, filename="b", data=pieces(bytes(40)))
    data = pieces(b"")
    with pytest.raises(Forbidden):
        await files.create(caller, filename="c", data=data)
    await data.aclose()
    await files.create(stranger, filename="theirs", data=pieces(bytes(100)))
    await files.delete(caller, first.id)
    await files.create(caller, filename="c", data=pieces(bytes(60)))
    assert len(stored(tmp_path)) == 3


async def test_uploads_at_once_do_not_share_the_same_room(files: Files, caller: Caller, database: Database) -> None:
    uploads = (files.create(caller, filename="a", data=pieces(bytes([number]) * 30)) for number in range(6))
    results = await asyncio.gather(*uploads, return_exceptions=True)
    assert sum(isinstance(result, Forbidden) for result in results) == 3
    assert await used(database) == 90


async def test_the_room_that_failed_uploads_took_is_given_back(
    files: Files, caller: Caller, database: Database
) -> None:
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await files.create(caller, filename="a", data=pieces_then(ConnectionError(), bytes(90)))
    assert (await used(database), await unowned(database)) == (0, [])


async def test_a_blob_that_could_not_be_deleted_is_deleted_later(
    files: Files, caller: Caller, upkeep: Upkeep, database: Database, tmp_path: Path
) -> None:
    file = await files.create(caller, filename="a", data=pieces(b"x"))
    (blob,) = stored(tmp_path)
    blob.unlink()
    blob.mkdir()  # which no store can delete as a blob
    (blob / "in the way").touch()
    await files.delete(caller, file.id)
    with pytest.raises(NotFound):
        await files.get(caller, file.id)
    assert len(await unowned(database)) == 1
    (blob / "in the way").unlink()
    blob.rmdir()
    await upkeep.sweep()
    assert await unowned(database) == []


async def acknowledged(url: URL, folder: Path, seed: int, seconds: float) -> tuple[dict[str, str], set[str]]:
    """What a process had made, with the hashes, and had not begun to delete when it was killed; what it had deleted."""
    address = url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.files.uploader", address, str(folder), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(seconds)
    process.kill()
    lines += process.communicate()[0].splitlines()
    made, deleted = {}, set()
    for line in lines:
        match line.split():
            case ["made", file_id, sha256]:
                made[file_id] = sha256
            case ["deleting", file_id]:
                del made[file_id]
            case ["deleted", file_id]:
                deleted.add(file_id)
    return made, deleted


async def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_leaks(
    database_url: URL, tmp_path: Path, caller: Caller
) -> None:
    pick, folder = random.Random(8), tmp_path / "blobs"
    kept: dict[str, str] = {}
    for number in range(2):
        made, deleted = await acknowledged(database_url, folder, number, pick.random() * 0.5)
        kept |= made
        blobs = Blobs(folder)
        async with Database(database_url) as database, Upkeep(database=database, blobs=blobs):
            files = Files(database=database, blobs=blobs, max_size=2**30)
            for file_id, sha256 in kept.items():
                content = await joined(files.content(caller, await files.get(caller, file_id)))
                assert hashlib.sha256(content).hexdigest() == sha256
            async with database.read() as session:
                rows = list(await session.scalars(select(FileRow)))
            assert not deleted & {row.id for row in rows}
            assert {row.blob for row in rows} == {str(path.relative_to(folder)) for path in stored(tmp_path)}
            assert await unowned(database) == []
            assert await used(database) == sum(row.size_bytes for row in rows)
