"""Why a call has no result, in the words and codes of the API."""

from typing import Literal, get_args

ErrorCode = Literal[
    "unavailable",
    "execution_time_exceeded",
    "container_expired",
    "invalid_tool_input",
    "too_many_requests",
    "output_file_too_large",
    "file_not_found",
    "string_not_found",
]

ERROR_CODES: frozenset[str] = frozenset(get_args(ErrorCode))


class ToolFailure(Exception):
    """A call that ends in an error block instead of a result.

    `message` is written for the model and for the person who reads along: what happened, and what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message


def invalid_input(message: str) -> ToolFailure:
    """The model's input can't be used."""
    return ToolFailure("invalid_tool_input", message)
