"""Bytes on their way to the blob store."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable

from codecove.errors import CodecoveError, TooLarge
from codecove.files.media_types import SNIFFED_BYTES


class Upload:
    """Data that is measured, hashed and held to limits as it passes."""

    def __init__(self, data: AsyncIterable[bytes], *, max_size: int, left: int, no_room: CodecoveError) -> None:
        """`left` is how many bytes there is room for; beyond it, `no_room` is raised."""
        self.size = 0
        self.head = b""
        """The beginning, up to `SNIFFED_BYTES`."""
        self._data = data
        self._max_size = max_size
        self._left = left
        self._no_room = no_room
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has passed, in hex."""
        return self._hash.hexdigest()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The data. Raises `TooLarge`, and what `data` raises."""
        async for piece in self._data:
            self.size += len(piece)
            if self.size > self._max_size:
                raise TooLarge(f"file: larger than the limit of {self._max_size} bytes")
            if self.size > self._left:
                raise self._no_room
            if len(self.head) < SNIFFED_BYTES:
                self.head += piece[: SNIFFED_BYTES - len(self.head)]
            self._hash.update(piece)
            yield piece
