import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from codecove.files.blobs import Blobs, BlobStoreUnavailable
from codecove.files.places import S3Place
from tests.files.support import joined, pieces, pieces_then, pieces_then_silence
from tests.support.s3 import S3Server

MIB = 2**20

Stored = Callable[[], list[int]]


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | S3Place:
    """Every kind of place where blobs can be."""
    if request.param == "folder":
        return tmp_path / "blobs"
    server: S3Server = request.getfixturevalue("s3_server")
    return server.place(f"tests/{uuid.uuid4().hex}")


@pytest.fixture
def blobs(place: Path | S3Place) -> Blobs:
    return Blobs(place)


@pytest.fixture
def stored(place: Path | S3Place, blobs: Blobs) -> Stored:
    """The sizes of what is stored; in a folder, of what is half-written too."""

    def sizes() -> list[int]:
        if isinstance(place, Path):
            return [path.stat().st_size for path in place.rglob("*") if path.is_file()]
        # This server lists directories too, which have no size.
        return [item["size"] for batch in obstore.list(blobs._store) for item in batch if item["size"]]

    return sizes


@pytest.mark.parametrize("sizes", [[], [0], [1], [MIB] * 12, [13 * MIB]], ids=["none", "empty", "one", "many", "big"])
async def test_what_is_put_is_got(blobs: Blobs, sizes: list[int]) -> None:
    pick = random.Random(3)
    data = [pick.randbytes(size) for size in sizes]
    await blobs.put("ws/key", pieces(*data))
    assert await joined(blobs.get("ws/key")) == b"".join(data)


async def test_a_blob_comes_in_pieces(blobs: Blobs) -> None:
    await blobs.put("ws/key", pieces(*[bytes(MIB)] * 3))
    sizes = [len(piece) async for piece in blobs.get("ws/key")]
    assert max(sizes) <= MIB
    assert sum(sizes) == 3 * MIB


@pytest.mark.parametrize("span", [(0, 1), (5, MIB + 7), (2 * MIB, 3 * MIB)])
async def test_a_part_of_a_blob_is_got(blobs: Blobs, span: tuple[int, int]) -> None:
    data = random.Random(5).randbytes(3 * MIB)
    await blobs.put("ws/key", pieces(data))
    assert await joined(blobs.get("ws/key", span)) == data[span[0] : span[1]]


async def test_reading_may_stop_half_way(blobs: Blobs) -> None:
    await blobs.put("ws/key", pieces(*[bytes(MIB)] * 3))
    async with aclosing(blobs.get("ws/key")) as content:
        assert await anext(content)


async def test_a_deleted_blob_is_gone(blobs: Blobs, stored: Stored) -> None:
    await blobs.put("ws/key", pieces(b"x"))
    for _ in range(2):
        await blobs.delete("ws/key")
    assert stored() == []
    with pytest.raises(FileNotFoundError):
        await joined(blobs.get("ws/key"))


@pytest.mark.parametrize("size", [1, 11 * MIB])
async def test_a_source_that_fails_leaves_nothing(blobs: Blobs, stored: Stored, size: int) -> None:
    with pytest.raises(ConnectionError, match="gone"):
        await blobs.put("ws/key", pieces_then(ConnectionError("gone"), bytes(size)))
    assert stored() == []


@pytest.mark.parametrize("size", [1, 11 * MIB])
async def test_cancelled_while_it_waits_for_more_it_leaves_nothing(blobs: Blobs, stored: Stored, size: int) -> None:
    reached = asyncio.Event()
    putting = asyncio.create_task(blobs.put("ws/key", pieces_then_silence(reached, bytes(size))))
    await reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert stored() == []


async def test_cancelled_at_any_moment_there_is_the_whole_blob_or_none(blobs: Blobs, stored: Stored) -> None:
    pick = random.Random(4)
    for _ in range(40):
        putting = asyncio.create_task(blobs.put("ws/key", pieces(*[bytes(MIB)] * 11)))
        await asyncio.sleep(pick.random() * 0.02)
        putting.cancel()
        await asyncio.wait({putting})
        if putting.cancelled():
            assert stored() == []
        else:
            assert stored() == [11 * MIB]
            await blobs.delete("ws/key")


async def test_many_blobs_leave_no_descriptor(blobs: Blobs) -> None:
    async def use() -> None:
        await blobs.put("ws/key", pieces(bytes(MIB)))
        await joined(blobs.get("ws/key"))

    await use()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        await use()
    # A few connections to a server are kept for the next use.
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 4


async def test_a_place_that_works_passes_the_check(blobs: Blobs, stored: Stored) -> None:
    await blobs.check()
    assert stored() == []


async def test_a_wrong_secret_or_bucket_or_address_is_found_at_the_start(s3_server: S3Server) -> None:
    right = s3_server.place("x")
    for wrong in ({"secret_access_key": "wrong"}, {"bucket": "nothing"}, {"endpoint": "http://127.0.0.1:1"}):
        with pytest.raises(BlobStoreUnavailable, match="the store of files"):
            await Blobs(replace(right, **wrong)).check()


async def test_variables_of_other_programs_are_not_read(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL", "ENDPOINT_URL_S3", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await Blobs(s3_server.place("variables")).check()
    assert os.environ["AWS_REGION"] == "http://127.0.0.1:1"


async def test_a_server_that_dies_in_mid_upload_is_an_error_and_leaves_nothing(s3_server: S3Server) -> None:
    blobs = Blobs(s3_server.place("dies-in-upload"))

    async def data() -> AsyncIterator[bytes]:
        for number in range(20):
            if number == 12:
                s3_server.kill()
            yield bytes(MIB)

    try:
        with pytest.raises(Exception, match="S3 error"):
            await blobs.put("ws/key", data())
    finally:
        s3_server.start()
    with pytest.raises(FileNotFoundError):
        await joined(blobs.get("ws/key"))
    await blobs.put("ws/key", pieces(b"later"))
    assert await joined(blobs.get("ws/key")) == b"later"


async def test_a_server_that_dies_in_mid_download_is_no_end_of_file(s3_server: S3Server) -> None:
    blobs = Blobs(s3_server.place("dies-in-download"))
    await blobs.put("ws/key", pieces(*[bytes(MIB)] * 40))
    received = 0
    try:
        with pytest.raises(Exception, match=r"S3 error|HTTP"):
            async with aclosing(blobs.get("ws/key")) as content:
                async for piece in content:
                    if received == 0:
                        s3_server.kill()
                    received += len(piece)
    finally:
        s3_server.start()
    assert received < 40 * MIB
    assert len(await joined(blobs.get("ws/key"))) == 40 * MIB
