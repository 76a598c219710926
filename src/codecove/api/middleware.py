"""What every request gets: an id, a line in the log, and an answer even when the server has a bug."""

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codecove import clock, ids
from codecove.api.errors import CLIENT_GONE, failure_of

_log = structlog.stdlib.get_logger(__name__)


class RequestContext:
    """Gives a request its id: in `request.state`, in every log line, and in the `request-id` header.

    The log line says method, path, status and time; never a query, a header or a body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = ids.new("req")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        begun = clock.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            _log.exception("request failed unexpectedly")
            if status:
                raise  # the answer has begun: all that is left is to break the connection
            await failure_of(error).response(request_id)(scope, receive, send_with_id)
        finally:
            _log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status or CLIENT_GONE,
                seconds=round(clock.monotonic() - begun, 3),
            )
