"""/v1/files: what clients upload and what executions leave."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from codecove.api.attention import attend
from codecove.api.auth import authorise
from codecove.api.body import encode_json
from codecove.api.multipart import Event, PartEnd, PartStart, read_parts
from codecove.api.services import Services, services
from codecove.errors import InvalidRequest
from codecove.files.service import DEFAULT_LIMIT, File, Files
from codecove.workspaces import Caller


async def _upload(request: Request) -> Response:
    caller = await authorise(request)
    files = services(request).files
    file: File | None = None
    try:
        async with aclosing(read_parts(request)) as events:
            async for event in events:
                if isinstance(event, PartStart):
                    if event.name != "file" or file is not None:
                        raise InvalidRequest(f"{event.name or 'form'}: the form must have one part, named `file`")
                    file = await _store(files, caller, event, events)
    except BaseException:
        if file is not None:
            await files.delete(caller, file.id)
        raise
    if file is None:
        raise InvalidRequest("file: Field required")
    return Response(encode_json(file.to_wire()), media_type="application/json")


async def _store(files: Files, caller: Caller, part: PartStart, events: AsyncGenerator[Event, None]) -> File:
    if not part.filename:
        raise InvalidRequest("file: the part must have a filename")
    return await files.create(caller, filename=part.filename, mime_type=part.content_type, data=_part_data(events))


async def _part_data(events: AsyncGenerator[Event, None]) -> AsyncIterator[bytes]:
    async for event in events:
        if isinstance(event, PartEnd):
            return
        if isinstance(event, bytes):
            yield event


async def _list(request: Request) -> Response:
    caller = await authorise(request)
    query = request.query_params
    page = await services(request).files.list(
        caller, limit=_limit(query.get("limit")), before_id=query.get("before_id"), after_id=query.get("after_id")
    )
    return Response(encode_json(page.to_wire()), media_type="application/json")


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidRequest("limit: Input should be a valid integer")
    return int(value)


async def _metadata(request: Request) -> Response:
    caller = await authorise(request)
    file = await services(request).files.get(caller, request.path_params["file_id"])
    return Response(encode_json(file.to_wire()), media_type="application/json")


async def _content(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    file = await parts.files.get(caller, request.path_params["file_id"])
    if not file.downloadable:
        raise InvalidRequest(f"File `{file.id}` is not downloadable: it was uploaded, not made by an execution")
    return _Download(file, parts, caller)


async def _delete(request: Request) -> Response:
    caller = await authorise(request)
    file_id = request.path_params["file_id"]
    await services(request).files.delete(caller, file_id)
    return Response(encode_json({"id": file_id, "type": "file_deleted"}), media_type="application/json")


class _Download(Response):
    """A file's bytes, piece by piece. Reading ends when the client leaves."""

    def __init__(self, file: File, parts: Services, caller: Caller) -> None:
        super().__init__(
            headers={
                "content-type": file.mime_type,
                "content-length": str(file.size_bytes),
                "content-disposition": f"attachment; filename*=utf-8''{quote(file.filename, safe='')}",
                # What a model's code wrote is never a page of this origin.
                "x-content-type-options": "nosniff",
            }
        )
        self._file = file
        self._parts = parts
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await attend(self._pump(send), receive=receive, stopping=self._parts.stopping)
        except ClientDisconnect:
            return

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._parts.files.content(self._caller, self._file)) as chunks:
            first = await anext(chunks, b"")  # an unreadable blob is still an error with a status
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


ROUTES = [
    Route("/v1/files", _upload, methods=["POST"]),
    Route("/v1/files", _list, methods=["GET"]),
    Route("/v1/files/{file_id}", _metadata, methods=["GET"]),
    Route("/v1/files/{file_id}", _delete, methods=["DELETE"]),
    Route("/v1/files/{file_id}/content", _content, methods=["GET"]),
]
