import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from datetime import UTC, datetime
from pathlib import Path

MOMENT = datetime(2026, 7, 30, 18, 54, 8, 960841, tzinfo=UTC)


async def pieces(*data: bytes) -> AsyncGenerator[bytes, None]:
    for piece in data:
        yield piece


async def pieces_then(error: Exception, *data: bytes) -> AsyncGenerator[bytes, None]:
    for piece in data:
        yield piece
    raise error


async def pieces_then_silence(reached: asyncio.Event, *data: bytes) -> AsyncGenerator[bytes, None]:
    for piece in data:
        yield piece
    reached.set()
    await asyncio.Event().wait()


async def joined(data: AsyncIterable[bytes]) -> bytes:
    return b"".join([piece async for piece in data])


def stored(tmp_path: Path) -> list[Path]:
    """What is in the folder of blobs, half-written ones too."""
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
