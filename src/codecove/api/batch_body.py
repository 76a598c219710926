"""The body of a new batch, read request by request: it may be 256 MB, and is never held as a whole."""

import codecs
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from codecove.api.body import DECODER, check_value, explained, not_utf8
from codecove.batches.intake import Submitted
from codecove.errors import InvalidRequest, TooLarge

_NUMBER_REST = re.compile(r"[0-9.eE+-]*")
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_TOKEN = 16
"""Characters of a JSON token that may be cut in two by the end of what has come, strings apart."""


async def read_requests(chunks: AsyncIterator[bytes], *, largest: int) -> AsyncGenerator[Submitted, None]:
    """The entries of `requests`, each of at most `largest` characters.

    Raises `InvalidRequest` for a body that is not `{"requests": […]}`, `TooLarge`, and what `chunks` raises.
    """
    text = _Text(chunks, largest)
    found = False
    if await text.next_of("{") and await text.peek() != "}":
        while True:
            key = (await text.value("the request body")).value
            await text.next_of(":")
            if key != "requests":
                raise InvalidRequest(f"{key}: Extra inputs are not permitted")
            if found:
                raise InvalidRequest("requests: may be given only once")
            found = True
            async for entry in _entries(text):
                yield entry
            if await text.next_of(",}") == "}":
                break
    else:
        await text.next_of("}")
    await text.end()
    if not found:
        raise InvalidRequest("requests: Field required")


async def _entries(text: "_Text") -> AsyncGenerator[Submitted, None]:
    if await text.peek() != "[":
        raise InvalidRequest("requests: Input should be a valid list")
    await text.next_of("[")
    if await text.peek() == "]":
        await text.next_of("]")
        return
    number = 0
    while True:
        yield await text.value(f"requests.{number}")
        number += 1
        if await text.next_of(",]") == "]":
            return


class _Text:
    """JSON as it comes, with a place in it. What lies before the place is forgotten."""

    def __init__(self, chunks: AsyncIterator[bytes], largest: int) -> None:
        self._chunks = chunks
        self._largest = largest
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._place = 0
        self._passed = 0
        """Characters that have been forgotten."""
        self._ended = False

    async def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            assert match is not None  # noqa: S101  # the pattern fits the empty string
            self._place = match.end()
            if self._place < len(self._text) or not await self._more(1):
                return self._text[self._place : self._place + 1]

    async def next_of(self, allowed: str) -> str:
        """Take the next character, one of those."""
        found = await self.peek()
        if not found or found not in allowed:
            expected = " or ".join(f"'{character}'" for character in allowed)
            raise InvalidRequest(
                f"The request body is not valid JSON: Expecting {expected}: char {self._passed + self._place}"
            )
        self._place += 1
        return found

    async def value(self, name: str) -> Submitted:
        """Take the next value, whole. `name` is for the error of one that is too large."""
        await self.peek()
        while True:
            try:
                with explained():
                    value, end = DECODER.raw_decode(self._text, self._place)
            except InvalidRequest as error:
                if self._ended or not _may_be_cut(error.__cause__, len(self._text)):
                    raise
            else:
                # A number at the end of what has come may go on: `0`, `0.`, `0.5e` …
                rest = _NUMBER_REST.match(self._text, end)
                assert rest is not None  # noqa: S101  # the pattern fits the empty string
                if self._ended or rest.end() < len(self._text):
                    break
            await self._read_more_of(name)
        text = self._text[self._place : end]
        self._place = end
        if isinstance(value, dict | list):
            check_value(value, text)
        return Submitted(text, value)

    async def end(self) -> None:
        """Nothing but space may follow."""
        if await self.peek():
            raise InvalidRequest(f"The request body is not valid JSON: Extra data: char {self._passed + self._place}")

    async def _read_more_of(self, name: str) -> None:
        pending = len(self._text) - self._place
        if pending > self._largest:
            raise TooLarge(f"{name}: a request may have at most {self._largest:,} bytes")
        # Twice as much each time: a value is parsed again from its start whenever more has come.
        await self._more(max(pending, 1))

    async def _more(self, characters: int) -> bool:
        """Read at least so much more. False at the end, where there is none."""
        if self._ended:
            return False
        pieces = [self._text[self._place :]]
        self._passed, self._place = self._passed + self._place, 0
        come = 0
        try:
            while come < characters:
                chunk = await anext(self._chunks, None)
                piece = self._decoder.decode(chunk or b"", final=chunk is None)
                pieces.append(piece)
                come += len(piece)
                if chunk is None:
                    self._ended = True
                    break
        except UnicodeDecodeError as error:
            raise not_utf8(error) from error
        self._text = "".join(pieces)
        return come > 0 or not self._ended


def _may_be_cut(error: Any, length: int) -> bool:
    """Whether a text of that length may be wrong only because more of it is to come."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= length - _LONGEST_TOKEN
