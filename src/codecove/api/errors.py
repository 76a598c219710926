"""From an exception to an HTTP answer: one table, one envelope.

Everything that leaves the server as an error goes through `failure_of`: an HTTP answer, and also the
`error` event of a stream that has begun.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from codecove import errors
from codecove.api.body import encode_json

_TABLE: dict[type[errors.CodecoveError], tuple[int, str]] = {
    errors.InvalidRequest: (400, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.Forbidden: (403, "permission_error"),
    errors.NotFound: (404, "not_found_error"),
    errors.TooLarge: (413, "request_too_large"),
    errors.RateLimited: (429, "rate_limit_error"),
    errors.CodecoveError: (500, "api_error"),
    errors.Overloaded: (529, "overloaded_error"),
}

_TYPE_OF_STATUS = {status: error_type for status, error_type in _TABLE.values() if status != 500}

CLIENT_GONE = 499
"""What the access log says of a client that left before its answer. Never sent."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the client gets it."""

    status: int
    error_type: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None

    def envelope(self, request_id: str) -> dict[str, Any]:
        """The body: `{"type": "error", "error": {"type", "message"}, "request_id"}`; with a code, `error.details`."""
        error: dict[str, Any] = {"type": self.error_type, "message": self.message}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}

    def response(self, request_id: str) -> Response:
        """The HTTP answer."""
        body = encode_json(self.envelope(request_id))
        return Response(body, self.status, headers=self.headers, media_type="application/json")


def failure_of(error: Exception) -> Failure:
    """What the client is told of `error`. Of one that nobody meant to raise: nothing but that it happened."""
    if isinstance(error, errors.UpstreamError):
        return Failure(error.status, error.error_type, error.message, _retry_after(error.retry_after))
    if isinstance(error, errors.CodecoveError):
        status, error_type = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
        retry_after = error.retry_after if isinstance(error, errors.RateLimited | errors.Overloaded) else None
        code = error.code if isinstance(error, errors.InvalidRequest) else None
        return Failure(status, error_type, error.message, _retry_after(retry_after), code)
    if isinstance(error, HTTPException):
        error_type = _TYPE_OF_STATUS.get(error.status_code, "invalid_request_error")
        return Failure(error.status_code, error_type, error.detail, dict(error.headers or {}))
    return Failure(500, "api_error", "Internal server error")


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": str(math.ceil(seconds))}


async def _answer(request: Request, error: Exception) -> Response:
    failure = failure_of(error)
    if isinstance(error, HTTPException) and error.status_code in (404, 405):
        failure = Failure(failure.status, failure.error_type, _no_such_route(request, failure.status), failure.headers)
    return failure.response(request.state.request_id)


def _no_such_route(request: Request, status: int) -> str:
    if status == 405:
        return f"Method {request.method} is not allowed for {request.url.path}"
    return f"Not found: {request.url.path}"


async def _client_gone(request: Request, _: Exception) -> Response:
    """Nobody reads this answer; the status is for the access log."""
    return Response(status_code=CLIENT_GONE)


# Anything else is a bug: `RequestContext` logs it and answers 500.
HANDLERS: dict[type[Exception], ExceptionHandler] = {
    errors.CodecoveError: _answer,
    HTTPException: _answer,
    ClientDisconnect: _client_gone,
}
