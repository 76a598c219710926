"""/v1/messages: a conversation's next message, as a stream or whole, and the count of its tokens."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codecove.api.attention import attend
from codecove.api.auth import authorise, betas
from codecove.api.body import encode_json, read_object
from codecove.api.services import services
from codecove.api.sse import EventStream
from codecove.errors import InvalidRequest
from codecove.messages.fold import fold
from codecove.messages.protocol import PassedHeaders


async def _create(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    body = await read_object(request, limit=parts.settings.max_body)
    stream = _wants_stream(body)
    events = parts.messages.stream(body, caller, headers=_passed(request))
    if stream:
        return EventStream(events, request_id=request.state.request_id, stopping=parts.stopping)
    message = await attend(fold(events), receive=request.receive, stopping=parts.stopping)
    return Response(encode_json(message), media_type="application/json")


async def _count_tokens(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    body = await read_object(request, limit=parts.settings.max_body)
    counting = parts.messages.count_tokens(body, caller, headers=_passed(request))
    count = await attend(counting, receive=request.receive, stopping=parts.stopping)
    return Response(encode_json(count), media_type="application/json")


def _wants_stream(body: dict[str, Any]) -> bool:
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream: Input should be a valid boolean")
    return bool(stream)


def _passed(request: Request) -> PassedHeaders:
    return PassedHeaders(version=request.headers["anthropic-version"], betas=tuple(betas(request)))


ROUTES = [
    Route("/v1/messages", _create, methods=["POST"]),
    Route("/v1/messages/count_tokens", _count_tokens, methods=["POST"]),
]
