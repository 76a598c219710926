"""Bytes on their way to the blob store."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable

from codecove.errors import TooLarge
from codecove.files.media_types import SNIFFED_BYTES
from codecove.store.storage import Room


class Upload:
    """Data that is measured, hashed and held to limits as it passes."""

    def __init__(self, data: AsyncIterable[bytes], *, max_size: int, room: Room) -> None:
        self.size = 0
        self.head = b""
        """The beginning, up to `SNIFFED_BYTES`."""
        self._data = data
        self._max_size = max_size
        self._room = room
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has passed, in hex."""
        return self._hash.hexdigest()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The data. Raises `TooLarge`, `Forbidden` if there is no room for it, and what `data` raises."""
        async for piece in self._data:
            self.size += len(piece)
            if self.size > self._max_size:
                raise TooLarge(f"file: larger than the limit of {self._max_size} bytes")
            self._room.check(self.size)
            if len(self.head) < SNIFFED_BYTES:
                self.head += piece[: SNIFFED_BYTES - len(self.head)]
            self._hash.update(piece)
            yield piece
