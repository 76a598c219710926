import asyncio
import os
import random
from contextlib import aclosing
from pathlib import Path

import pytest

from codecove.files.blobs import Blobs
from tests.files.support import joined, pieces, pieces_then, pieces_then_silence, stored

MIB = 2**20


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


async def test_a_deleted_blob_is_gone(blobs: Blobs, tmp_path: Path) -> None:
    await blobs.put("ws/key", pieces(b"x"))
    for _ in range(2):
        await blobs.delete("ws/key")
    assert stored(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        await joined(blobs.get("ws/key"))


@pytest.mark.parametrize("size", [1, 11 * MIB])
async def test_a_source_that_fails_leaves_nothing(blobs: Blobs, tmp_path: Path, size: int) -> None:
    with pytest.raises(ConnectionError, match="gone"):
        await blobs.put("ws/key", pieces_then(ConnectionError("gone"), bytes(size)))
    assert stored(tmp_path) == []


@pytest.mark.parametrize("size", [1, 11 * MIB])
async def test_cancelled_while_it_waits_for_more_it_leaves_nothing(blobs: Blobs, tmp_path: Path, size: int) -> None:
    reached = asyncio.Event()
    putting = asyncio.create_task(blobs.put("ws/key", pieces_then_silence(reached, bytes(size))))
    await reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert stored(tmp_path) == []


async def test_cancelled_at_any_moment_there_is_the_whole_blob_or_none(blobs: Blobs, tmp_path: Path) -> None:
    pick = random.Random(4)
    for _ in range(40):
        putting = asyncio.create_task(blobs.put("ws/key", pieces(*[bytes(MIB)] * 11)))
        await asyncio.sleep(pick.random() * 0.02)
        putting.cancel()
        await asyncio.wait({putting})
        if putting.cancelled():
            assert stored(tmp_path) == []
        else:
            assert [path.stat().st_size for path in stored(tmp_path)] == [11 * MIB]
            await blobs.delete("ws/key")


async def test_many_blobs_leave_no_descriptor(blobs: Blobs) -> None:
    async def use() -> None:
        await blobs.put("ws/key", pieces(bytes(MIB)))
        await joined(blobs.get("ws/key"))

    await use()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        await use()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
