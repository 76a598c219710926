"""Where the bytes of files are: an object store, which for now is a folder."""

from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path

import obstore
from obstore.store import LocalStore

from codecove.store.finish import finish

# S3 takes no smaller parts. Two in flight bound the memory of one upload to about three parts.
_PART_BYTES = 5 * 2**20
_PARTS_AT_ONCE = 2
_CHUNK_BYTES = 2**18


class Blobs:
    """Blobs, by key. A key is a relative path of plain components.

    A blob appears whole or not at all.
    """

    def __init__(self, directory: Path) -> None:
        self._store = LocalStore(directory, mkdir=True)

    async def put(self, key: str, data: AsyncIterable[bytes]) -> None:
        """Write a blob, piece by piece as `data` gives them. If `data` raises, or on cancellation, there is none."""
        writer = obstore.open_writer_async(self._store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        try:
            async for piece in data:
                await writer.write(piece)
        except BaseException as error:
            await finish(writer.__aexit__(type(error), error, error.__traceback__))
            raise
        try:
            await finish(writer.close())
        except BaseException:
            await finish(self.delete(key))
            raise

    async def get(self, key: str) -> AsyncGenerator[bytes, None]:
        """A blob's bytes, in pieces. Raises `FileNotFoundError` before the first."""
        found = await obstore.get_async(self._store, key)
        async for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield piece

    async def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is no error."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
