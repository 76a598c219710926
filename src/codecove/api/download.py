"""A file's bytes as an HTTP answer: whole, or the range that the client asks for."""

import re
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codecove.api.attention import attend
from codecove.api.services import services
from codecove.files.file import File
from codecove.workspaces import Caller

# One range. Of several, and of what is no range, the RFC lets a server send the whole.
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` to before `end`."""

    start: int
    end: int


def requested_span(header: str | None, size: int) -> Span | None:
    """The part of a file of `size` bytes that a `Range` header means; None: all of it (RFC 9110, section 14).

    Raises `HTTPException` 416 if the file has no such bytes.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.group(1) + match.group(2) == "":
        return None
    first, last = match.groups()
    if not first:
        span = Span(max(size - int(last), 0), size)
    else:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
        if last and int(last) < int(first):
            return None
    if span.start >= span.end:
        raise HTTPException(
            416,
            f"range: the file has {size} bytes, and none of them are in this range",
            {"content-range": f"bytes */{size}"},
        )
    return span


class Download(Response):
    """Sends a file piece by piece. Reading ends when the client leaves."""

    def __init__(self, request: Request, caller: Caller, file: File) -> None:
        """Raises `HTTPException` 416."""
        etag = f'"{file.sha256}"'
        # If the client has the beginning of another version, it is to get the whole.
        unchanged = request.headers.get("if-range", etag) == etag
        span = requested_span(request.headers.get("range"), file.size_bytes) if unchanged else None
        self._span = span or Span(0, file.size_bytes)
        headers = {
            "content-type": file.mime_type,
            "content-length": str(self._span.end - self._span.start),
            "content-disposition": f"attachment; filename*=utf-8''{quote(file.filename, safe='')}",
            "accept-ranges": "bytes",
            "etag": etag,
            # What a model's code wrote is never a page of this origin.
            "x-content-type-options": "nosniff",
        }
        if span is not None:
            headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{file.size_bytes}"
        super().__init__(status_code=200 if span is None else 206, headers=headers)
        self._file = file
        self._caller = caller
        self._parts = services(request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await self._begin(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        try:
            await attend(self._pump(send), receive=receive, stopping=self._parts.stopping)
        except ClientDisconnect:
            return

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _pump(self, send: Send) -> None:
        content = self._parts.files.content(self._caller, self._file, start=self._span.start, end=self._span.end)
        async with aclosing(content) as chunks:
            first = await anext(chunks, b"")  # an unreadable blob is still an error with a status
            await self._begin(send)
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
