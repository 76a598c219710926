"""What can go wrong with an upstream, as the API's errors."""

import json
from typing import Any

import httpx2

from codecove.errors import UpstreamError

_MAX_MESSAGE = 2000
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {kind: status for status, kind in _TYPES.items()}
# Local servers answer 503 while they load the model.
_SAME_AS = {408: 504, 503: 529}


def of_transport(error: httpx2.HTTPError, *, started: bool) -> UpstreamError:
    """The error for a connection that failed. `started`: the upstream had begun to answer."""
    if isinstance(error, httpx2.TimeoutException):
        return _error(504, "The model's server did not answer in time")
    if started:
        return broken_off()
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
        return _error(529, f"The model's server can't be reached: {error or type(error).__name__}")
    return _error(500, f"The request to the model's server failed: {error or type(error).__name__}")


def broken_off() -> UpstreamError:
    """The error for a stream that ended before its `message_stop`."""
    return _error(500, "The model's server broke off in the middle of its answer")


def not_an_answer(what: str) -> UpstreamError:
    """The error for an answer that is not one of the Messages protocol."""
    return _error(500, f"The model's server answered with something else than a message: {what}")


def of_event(event: dict[str, Any]) -> UpstreamError:
    """The error that an `error` event, or an error's body, tells of."""
    kind, message = _parse(event)
    return _error(_STATUSES.get(kind or "", 500), message or "The model's server failed")


def of_response(status: int, headers: httpx2.Headers, body: bytes) -> UpstreamError:
    """The error for an answer with another status than 200."""
    try:
        _, message = _parse(json.loads(body))
    except ValueError:
        message = body.decode("utf-8", errors="replace").strip()
    message = message or f"The model's server answered with status {status}"
    status = _SAME_AS.get(status, status)
    if status in (401, 403):
        message = f"The upstream (the model's server) refused this server's own key, not yours: {message}"
    if status not in _TYPES:
        status = 400 if 400 <= status < 500 else 500
    return _error(status, message, retry_after=_seconds(headers.get("retry-after")))


def _error(status: int, message: str, retry_after: float | None = None) -> UpstreamError:
    return UpstreamError(message[:_MAX_MESSAGE], status=status, error_type=_TYPES[status], retry_after=retry_after)


def _parse(body: Any) -> tuple[str | None, str | None]:
    """Type and message in the shapes that servers give them: the API's, OpenAI's, a web framework's."""
    if not isinstance(body, dict):
        return None, None
    error = body.get("error", body)
    if isinstance(error, str):
        return None, error
    if not isinstance(error, dict):
        return None, None
    kind = error.get("type")
    message = error.get("message") or error.get("detail")
    return (kind if isinstance(kind, str) else None), (None if message is None else str(message))


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
