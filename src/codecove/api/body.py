"""JSON in and out."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from starlette.requests import Request

from codecove.errors import InvalidRequest, TooLarge

MAX_DEPTH = 200
"""Nested objects and arrays. Deeper ones could exhaust the stack of whatever walks them later."""


class _NotJson(ValueError):
    """Something that Python's parser takes and JSON doesn't have."""


async def read_object(request: Request, *, limit: int) -> dict[str, Any]:
    """The body, a JSON object of at most `limit` bytes. Raises `InvalidRequest`, `TooLarge`."""
    return parse_object(await _read(request, limit))


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in limited(request, limit):
        body += chunk
    return bytes(body)


async def limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in pieces, at most `limit` bytes. Raises `TooLarge`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"Request exceeds the maximum size of {limit:,} bytes")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a request body. Raises `InvalidRequest` that says where it is wrong."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(error) from error
    with explained():
        value = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise InvalidRequest(f"The request body must be a JSON object, not {_json_type(value)}")
    check_value(value, text)
    return value


def not_utf8(error: UnicodeDecodeError) -> InvalidRequest:
    """The error for a body that is no text."""
    return InvalidRequest(f"The request body is not valid UTF-8: byte {error.start} is {error.reason}")


@contextmanager
def explained() -> Iterator[None]:
    """Whatever Python's parser raises, as an `InvalidRequest` in the words of the API."""
    try:
        yield
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, _NotJson) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from error
    except ValueError as error:  # an integer of thousands of digits: Python's words are for programmers
        raise InvalidRequest("The request body has a number with too many digits") from error


def check_value(value: dict[str, Any] | list[Any], text: str) -> None:
    """Raises `InvalidRequest` for what is JSON, parsed from `text`, and could do harm later."""
    _check_depth(value)
    # Half a surrogate pair is legal in JSON's escapes and has no UTF-8: it could go nowhere from here.
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequest("The request body is not valid JSON: a string has an unpaired surrogate") from None


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not a JSON value")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Parses as `parse_object` does; use it within `explained`, and `check_value` after it."""


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)  # type: ignore[attr-defined]
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The request body is nested more than {MAX_DEPTH} levels deep")


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def encode_json(value: object) -> bytes:
    """Compact JSON in UTF-8. A string that has no UTF-8 (half a surrogate pair) goes out in escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
