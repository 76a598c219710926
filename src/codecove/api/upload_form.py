"""The form of an upload: one part `file`, and perhaps `expires_in_seconds`, in any order."""

from collections.abc import AsyncGenerator
from typing import Self

from codecove.api.multipart import Event, PartEnd, PartStart
from codecove.errors import InvalidRequest

_DIGITS = 20


class UploadForm:
    """Reads the parts up to the file, then hands out its bytes."""

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self.filename = ""
        self.content_type: str | None = None
        self.expires_in: int | None = None
        """Complete when `data` has ended."""
        self._events = events

    async def find_file(self) -> Self:
        """Go to the file's first byte. Raises `InvalidRequest`."""
        part = await self._next_part()
        if part is None:
            raise InvalidRequest("file: Field required")
        if not part.filename:
            raise InvalidRequest("file: the part must have a filename")
        self.filename, self.content_type = part.filename, part.content_type
        return self

    async def data(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes. Ends when the whole form has been read and found right; raises `InvalidRequest`."""
        async for event in self._events:
            if isinstance(event, PartEnd):
                break
            if isinstance(event, bytes):
                yield event
        if await self._next_part() is not None:
            raise InvalidRequest("file: the form must have one file")

    async def _next_part(self) -> PartStart | None:
        """The start of the next part `file`; what comes before it is read."""
        async for event in self._events:
            if not isinstance(event, PartStart):
                continue
            if event.name == "file":
                return event
            if event.name != "expires_in_seconds":
                known = "a form has `file` and `expires_in_seconds`"
                raise InvalidRequest(f"{event.name or 'form'}: Extra inputs are not permitted; {known}")
            self.expires_in = await self._number()
        return None

    async def _number(self) -> int:
        value = b""
        async for event in self._events:
            if isinstance(event, PartEnd):
                break
            if isinstance(event, bytes):
                value += event
            if len(value) > _DIGITS:
                break
        if not (value.isdigit() and len(value) <= _DIGITS):
            raise InvalidRequest("expires_in_seconds: Input should be a valid integer")
        return int(value)
