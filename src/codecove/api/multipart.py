"""A `multipart/form-data` body as a stream: no part of it is ever held whole."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from codecove.errors import InvalidRequest

if TYPE_CHECKING:  # the library defines it for type checkers only
    from python_multipart.multipart import MultipartCallbacks


@dataclass(frozen=True, slots=True)
class PartStart:
    """The headers of a part. `filename` and `content_type` are None when the client gave none."""

    name: str
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part that began last is complete."""


Event = PartStart | bytes | PartEnd


async def read_parts(request: Request) -> AsyncGenerator[Event, None]:
    """For each part: its start, its bytes in pieces, its end. Raises `InvalidRequest` if the body is no such form."""
    collector = _Collector()
    try:
        parser = MultipartParser(_boundary(request), collector.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            for event in collector.take():
                yield event
    except FormParserError as error:
        raise InvalidRequest(f"The request body is not valid multipart/form-data: {error}") from error
    if not collector.complete:
        raise InvalidRequest("The request body is not valid multipart/form-data: it ends before its last boundary")


def _boundary(request: Request) -> bytes:
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequest("content-type: expected multipart/form-data with a boundary")
    return options[b"boundary"]


class _Collector:
    """Turns the parser's callbacks into events."""

    def __init__(self) -> None:
        self.complete = False
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def take(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        content_type = self._headers.get(b"content-type")
        self._events.append(
            PartStart(
                name=_text(options.get(b"name", b"")),
                filename=_text(options[b"filename"]) if b"filename" in options else None,
                content_type=content_type.decode("latin-1") if content_type else None,
            )
        )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(bytes(data[start:end]))

    def _on_part_end(self) -> None:
        self._events.append(PartEnd())

    def _on_end(self) -> None:
        self.complete = True


def _text(value: bytes) -> str:
    """A name as browsers and clients write it: UTF-8, with a quotation mark as `%22`."""
    try:
        return value.decode("utf-8").replace("%22", '"')
    except UnicodeDecodeError as error:
        raise InvalidRequest("content-disposition: the names in a part's headers must be UTF-8") from error
