"""/v1/files: what clients upload and what executions leave."""

from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codecove.api.auth import authorise
from codecove.api.body import encode_json
from codecove.api.download import Download
from codecove.api.multipart import read_parts
from codecove.api.services import services
from codecove.api.upload_form import UploadForm
from codecove.errors import InvalidRequest, TooLarge

_REST_OF_FORM = 2**20
"""Bytes that a form may have beside the file."""


async def _upload(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > parts.settings.max_file_size + _REST_OF_FORM:
        raise TooLarge(f"file: larger than the limit of {parts.settings.max_file_size} bytes")
    async with aclosing(read_parts(request)) as events:
        form = await UploadForm(events).find_file()
        file = await parts.files.create(
            caller,
            filename=form.filename,
            mime_type=form.content_type,
            data=form.data(),
            downloadable=parts.settings.uploads_downloadable,
            expires_in=lambda: form.expires_in,
        )
    return Response(encode_json(file.to_wire()), media_type="application/json")


async def _list(request: Request) -> Response:
    caller = await authorise(request)
    query = request.query_params
    page = await services(request).files.list(
        caller,
        limit=_limit(query.get("limit")),
        before_id=query.get("before_id"),
        after_id=query.get("after_id"),
        page=query.get("page"),
        # As the official clients write a list, and as others do.
        ids=[*query.getlist("ids[]"), *query.getlist("ids")],
    )
    return Response(encode_json(page.to_wire()), media_type="application/json")


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidRequest("limit: Input should be a valid integer")
    return int(value)


async def _metadata(request: Request) -> Response:
    caller = await authorise(request)
    file = await services(request).files.get(caller, request.path_params["file_id"])
    return Response(encode_json(file.to_wire()), media_type="application/json")


async def _content(request: Request) -> Response:
    caller = await authorise(request)
    file = await services(request).files.get(caller, request.path_params["file_id"])
    if not file.downloadable:
        raise InvalidRequest(f"File `{file.id}` is not downloadable: it was uploaded, not made by an execution")
    return Download(request, caller, file)


async def _delete(request: Request) -> Response:
    caller = await authorise(request)
    file_id = request.path_params["file_id"]
    await services(request).files.delete(caller, file_id)
    return Response(encode_json({"id": file_id, "type": "file_deleted"}), media_type="application/json")


ROUTES = [
    Route("/v1/files", _upload, methods=["POST"]),
    Route("/v1/files", _list, methods=["GET"]),
    Route("/v1/files/{file_id}", _metadata, methods=["GET"]),
    Route("/v1/files/{file_id}", _delete, methods=["DELETE"]),
    Route("/v1/files/{file_id}/content", _content, methods=["GET"]),
]
