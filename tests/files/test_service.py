import asyncio
import hashlib
import random
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from codecove import clock, ids
from codecove.errors import InvalidRequest, NotFound, TooLarge
from codecove.files.service import File, Files
from codecove.store.database import Database
from codecove.store.tables import FileRow
from codecove.workspaces import Caller
from tests.files.conftest import MAX_SIZE
from tests.files.support import joined, pieces, pieces_then, pieces_then_silence, stored


async def rows(database: Database) -> list[FileRow]:
    async with database.read() as session:
        return list(await session.scalars(select(FileRow)))


async def test_a_file_comes_back_as_it_was_sent(files: Files, caller: Caller) -> None:
    file = await files.create(caller, filename="résumé.csv", data=pieces(b"a,b\n", b"1,2\n"))
    assert ids.is_valid("file", file.id)
    assert (file.filename, file.mime_type, file.size_bytes, file.downloadable) == ("résumé.csv", "text/csv", 8, False)
    assert abs(clock.now() - file.created_at) < timedelta(minutes=1)
    assert await files.get(caller, file.id) == file
    assert await joined(files.content(caller, file)) == b"a,b\n1,2\n"


async def test_its_wire_form_has_the_fields_of_the_api(files: Files, caller: Caller) -> None:
    file = await files.create(caller, filename="plot", data=pieces(b"%PDF-1.7"), downloadable=True)
    assert file.to_wire() == {
        "type": "file",
        "id": file.id,
        "filename": "plot",
        "mime_type": "application/pdf",
        "size_bytes": 8,
        "created_at": file.created_at.isoformat().replace("+00:00", "Z"),
        "downloadable": True,
        "expires_at": None,
    }


async def test_the_hash_of_the_content_is_kept(files: Files, caller: Caller, database: Database) -> None:
    await files.create(caller, filename="a", data=pieces(b"one", b"two"))
    assert [row.sha256 for row in await rows(database)] == [hashlib.sha256(b"onetwo").hexdigest()]


async def test_an_empty_file_is_a_file(files: Files, caller: Caller) -> None:
    file = await files.create(caller, filename="empty", data=pieces())
    assert file.size_bytes == 0
    assert await joined(files.content(caller, file)) == b""


@pytest.mark.parametrize("name", ["", "a/b", "x" * 256, "a\nb"])
async def test_a_forbidden_name_is_refused_before_anything_is_read(files: Files, caller: Caller, name: str) -> None:
    data = pieces(b"x")
    with pytest.raises(InvalidRequest, match="file: "):
        await files.create(caller, filename=name, data=data)
    assert await anext(data) == b"x"
    await data.aclose()


async def test_a_file_of_just_the_limit_is_accepted(files: Files, caller: Caller) -> None:
    file = await files.create(caller, filename="a", data=pieces(bytes(MAX_SIZE - 1), b"x"))
    assert file.size_bytes == MAX_SIZE


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(TooLarge, match=str(MAX_SIZE)):
        await files.create(caller, filename="a", data=pieces(bytes(MAX_SIZE), b"x"))
    assert (await rows(database), stored(tmp_path)) == ([], [])


async def test_an_upload_that_breaks_off_leaves_nothing(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionError):
        await files.create(caller, filename="a", data=pieces_then(ConnectionError(), bytes(6 * 2**20)))
    assert (await rows(database), stored(tmp_path)) == ([], [])


async def test_a_cancelled_upload_leaves_nothing(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    reached = asyncio.Event()
    upload = asyncio.create_task(
        files.create(caller, filename="a", data=pieces_then_silence(reached, bytes(6 * 2**20)))
    )
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert (await rows(database), stored(tmp_path)) == ([], [])


async def test_cancelled_at_any_moment_an_upload_leaves_nothing(
    files: Files, caller: Caller, database: Database, tmp_path: Path
) -> None:
    pick = random.Random(6)
    for _ in range(60):
        upload = asyncio.create_task(files.create(caller, filename="a", data=pieces(b"x", b"y")))
        await asyncio.sleep(pick.random() * 0.006)
        upload.cancel()
        await asyncio.wait({upload})
        if not upload.cancelled():
            await files.delete(caller, upload.result().id)
        assert (await rows(database), stored(tmp_path)) == ([], [])


async def test_the_same_content_is_stored_once(files: Files, caller: Caller, tmp_path: Path) -> None:
    one, two = [await files.create(caller, filename=name, data=pieces(b"same")) for name in ("one", "two")]
    assert len(stored(tmp_path)) == 1
    await files.delete(caller, one.id)
    assert await joined(files.content(caller, two)) == b"same"
    await files.delete(caller, two.id)
    assert stored(tmp_path) == []


async def test_the_same_content_uploaded_and_deleted_at_once_is_never_lost(
    files: Files, caller: Caller, tmp_path: Path
) -> None:
    async def come_and_go(number: int) -> File | None:
        file = await files.create(caller, filename=str(number), data=pieces(b"same"))
        if number % 2:
            return file
        await files.delete(caller, file.id)
        return None

    for file in await asyncio.gather(*(come_and_go(number) for number in range(30))):
        if file is not None:
            assert await joined(files.content(caller, file)) == b"same"
    assert len(stored(tmp_path)) == 1


async def test_workspaces_do_not_share_content(files: Files, caller: Caller, stranger: Caller, tmp_path: Path) -> None:
    mine = await files.create(caller, filename="a", data=pieces(b"same"))
    theirs = await files.create(stranger, filename="a", data=pieces(b"same"))
    assert len(stored(tmp_path)) == 2
    await files.delete(stranger, theirs.id)
    assert await joined(files.content(caller, mine)) == b"same"


async def test_a_deleted_file_is_gone(files: Files, caller: Caller) -> None:
    file = await files.create(caller, filename="a", data=pieces(b"x"))
    await files.delete(caller, file.id)
    with pytest.raises(NotFound):
        await files.get(caller, file.id)
    with pytest.raises(NotFound):
        await joined(files.content(caller, file))
    with pytest.raises(NotFound):
        await files.delete(caller, file.id)


@pytest.mark.parametrize("unknown", ["file_01" + "x" * 22, "", "a\0b", "\udcff", "container_01" + "x" * 22])
async def test_an_unknown_file_is_not_found(files: Files, caller: Caller, unknown: str) -> None:
    with pytest.raises(NotFound):
        await files.get(caller, unknown)


async def test_a_file_of_another_workspace_is_as_if_it_never_existed(
    files: Files, caller: Caller, stranger: Caller
) -> None:
    file = await files.create(caller, filename="secret.csv", data=pieces(b"x"))
    gone = "file_01" + "x" * 22
    texts = set()
    for file_id in (file.id, gone):
        with pytest.raises(NotFound) as refused:
            await files.get(stranger, file_id)
        texts.add(refused.value.message.replace(file_id, "ID"))
        with pytest.raises(NotFound):
            await files.delete(stranger, file_id)
        with pytest.raises(InvalidRequest):
            await files.list(stranger, after_id=file_id)
    assert len(texts) == 1
    with pytest.raises(NotFound):
        await joined(files.content(stranger, file))
    assert (await files.list(stranger)).data == []
    assert await joined(files.content(caller, file)) == b"x"
