"""/v1/messages/batches: many Messages requests that nobody waits for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from codecove.api.auth import authorise, betas
from codecove.api.batch_body import read_requests
from codecove.api.body import encode_json, limited
from codecove.api.services import services
from codecove.batches.batch import Batch
from codecove.batches.pages import DEFAULT_LIMIT, Asked
from codecove.errors import InvalidRequest
from codecove.messages.protocol import PassedHeaders

MAX_BODY = 256 * 2**20


async def _create(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    headers = PassedHeaders(version=request.headers["anthropic-version"], betas=tuple(betas(request)))
    async with aclosing(read_requests(limited(request, MAX_BODY), largest=parts.settings.max_body)) as entries:
        batch = await parts.batches.create(caller, entries, headers=headers)
    return _answer(request, batch)


async def _list(request: Request) -> Response:
    caller = await authorise(request)
    query = request.query_params
    asked = Asked(
        limit=_limit(query.get("limit")),
        before_id=query.get("before_id"),
        after_id=query.get("after_id"),
        page=query.get("page"),
    )
    page = await services(request).batches.list(caller, asked)
    return Response(encode_json(page.to_wire(_base_url(request))), media_type="application/json")


async def _retrieve(request: Request) -> Response:
    """With `?counts=now` the counts are those of this moment, not the documented ones: for `cove batches`."""
    caller = await authorise(request)
    batch = await services(request).batches.get(caller, request.path_params["batch_id"])
    return _answer(request, batch, live=request.query_params.get("counts") == "now")


async def _cancel(request: Request) -> Response:
    caller = await authorise(request)
    return _answer(request, await services(request).batches.cancel(caller, request.path_params["batch_id"]))


async def _delete(request: Request) -> Response:
    caller = await authorise(request)
    batch_id = request.path_params["batch_id"]
    await services(request).batches.delete(caller, batch_id)
    return Response(encode_json({"id": batch_id, "type": "message_batch_deleted"}), media_type="application/json")


async def _results(request: Request) -> Response:
    caller = await authorise(request)
    lines = services(request).batches.results(caller, request.path_params["batch_id"])
    first = await anext(lines)  # an error is still one with a status
    return StreamingResponse(_all(first, lines), media_type="application/x-jsonl")


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _answer(request: Request, batch: Batch, *, live: bool = False) -> Response:
    return Response(encode_json(batch.to_wire(_base_url(request), live=live)), media_type="application/json")


def _base_url(request: Request) -> str:
    """This server's, as the client sees it."""
    configured = services(request).settings.public_url
    return (configured or str(request.base_url)).rstrip("/")


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidRequest("limit: Input should be a valid integer")
    return int(value)


ROUTES = [
    Route("/v1/messages/batches", _create, methods=["POST"]),
    Route("/v1/messages/batches", _list, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _retrieve, methods=["GET"]),
    Route("/v1/messages/batches/{batch_id}", _delete, methods=["DELETE"]),
    Route("/v1/messages/batches/{batch_id}/cancel", _cancel, methods=["POST"]),
    Route("/v1/messages/batches/{batch_id}/results", _results, methods=["GET"]),
]
