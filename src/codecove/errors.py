"""What can go wrong with a request, independent of HTTP.

Each class is one entry of the API's list of error types; `api/errors.py` has the table that gives each its status.
The sandbox has its own exceptions (`sandbox/errors.py`): `tools/` turns those into results that the model can read.

    CodecoveError
    ├── InvalidRequest        400 invalid_request_error
    ├── Unauthenticated       401 authentication_error
    ├── Forbidden             403 permission_error
    ├── NotFound              404 not_found_error
    ├── TooLarge              413 request_too_large
    ├── RateLimited           429 rate_limit_error
    ├── Overloaded            529 overloaded_error
    │   └── NoRoom
    └── UpstreamError         the status and type that the model's server gave
"""


class CodecoveError(Exception):
    """A failure whose message is written for the person who sent the request."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(CodecoveError):
    """A field of the request is wrong. The message begins with the field's path: `tools.0.name: …`.

    `code` is what clients decide by, where the API has one for the case: the `error_code` of the error's `details`.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unauthenticated(CodecoveError):
    """No API key, or one that is not known."""


class Forbidden(CodecoveError):
    """The key is known but may not do this, or a quota of storage is used up."""


class NotFound(CodecoveError):
    """The named thing does not exist, or belongs to another workspace: the two look the same."""


class TooLarge(CodecoveError):
    """The request or a file in it is over the size limit."""


class RateLimited(CodecoveError):
    """Too many requests for now; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(CodecoveError):
    """This server has no room for the request at the moment; `retry_after` is in seconds, if anybody knows."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoRoom(Overloaded):
    """The machine has no room for another container, and the request has waited for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"There is no room for another container on this server now: {reason}. Try again in a moment.",
            retry_after=5,
        )


class UpstreamError(CodecoveError):
    """The model's server refused, failed or could not be reached.

    `status` is the HTTP status for the client, `error_type` the API's error type that goes with it, and
    `retry_after` (seconds) what the upstream said of when to come back.
    """

    def __init__(self, message: str, *, status: int, error_type: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.retry_after = retry_after
