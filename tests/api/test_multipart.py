"""Uploads are parsed as they come, however the bytes are cut into pieces."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from codecove.api.multipart import Event, PartEnd, PartStart, read_parts
from codecove.errors import InvalidRequest


def form(data: bytes, *, disposition: bytes = b'form-data; name="file"; filename="a.csv"') -> bytes:
    head = b"--b\r\nContent-Disposition: " + disposition + b"\r\nContent-Type: text/csv\r\n\r\n"
    return head + data + b"\r\n--b--\r\n"


def request(pieces: list[bytes], content_type: str = "multipart/form-data; boundary=b") -> Request:
    waiting = list(pieces)

    async def receive() -> Message:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, receive)


async def read(pieces: list[bytes]) -> list[Event]:
    return [event async for event in read_parts(request(pieces))]


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.sampled_from([b"x", b"\r\n", b"--b", b"\r\n--", b"\r\n-", b"\x00", b"-" * 70])).map(b"".join),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
async def test_content_survives_any_cut(data: bytes, cuts: list[int]) -> None:
    body = form(data.replace(b"\r\n--b", b"\r\n--c"))
    if data.startswith(b"--b"):
        body = form(b"_" + data.replace(b"\r\n--b", b"\r\n--c"))
    marks = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    events = await read([body[start:end] for start, end in pairwise(marks)])
    assert events[0] == PartStart("file", "a.csv", "text/csv")
    assert events[-1] == PartEnd()
    content = b"".join(event for event in events if isinstance(event, bytes))
    assert content in body
    assert len(content) == len(body) - len(form(b""))


async def test_parts_arrive_before_the_body_ends() -> None:
    whole = form(b"first" + b"second")
    cut = whole.index(b"second")
    seen: list[str] = []

    async def receive() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": whole[:cut], "more_body": True}
        seen.append("asked for the rest")
        yield {"type": "http.request", "body": whole[cut:], "more_body": False}

    messages = receive()
    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    async for event in read_parts(Request(scope, messages.__anext__)):
        seen += [event.decode() if isinstance(event, bytes) else type(event).__name__]
    assert seen[:3] == ["PartStart", "first", "asked for the rest"]


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="file"; filename="Größe – 図.csv"'.encode(), "Größe – 図.csv"),
        (b'form-data; name="file"; filename="a%22b.csv"', 'a"b.csv'),
        (b'form-data; name="file"; filename=plain.csv', "plain.csv"),
        (b'form-data; name="file"', None),
    ],
)
async def test_file_name_is_read_as_clients_write_it(disposition: bytes, filename: str | None) -> None:
    events = await read([form(b"1", disposition=disposition)])
    assert events[0] == PartStart("file", filename, "text/csv")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(b"data")[:-8], "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data; boundary=b"),
        (b"no boundary here", "multipart/form-data; boundary=b"),
        (form(b"data", disposition=b'form-data; name="file"; filename="\xff"'), "multipart/form-data; boundary=b"),
        (form(b"data"), "multipart/form-data"),
        (form(b"data"), "multipart/form-data; boundary=" + "x" * 1000),
        (b"{}", "application/json"),
    ],
)
async def test_what_is_no_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        _ = [event async for event in read_parts(request([body], content_type))]
