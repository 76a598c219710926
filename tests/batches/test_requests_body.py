"""The body of a new batch is read request by request, and what is wrong with it is said in words."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.api.batch_body import read_requests
from codecove.errors import CodecoveError, InvalidRequest, TooLarge

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes | str, *, size: int = 7, largest: int = 10_000) -> list[Any]:
    raw = body if isinstance(body, bytes) else body.encode()
    entries = [entry async for entry in read_requests(chunks(raw, size), largest=largest)]
    for entry in entries:
        assert json.loads(entry.text) == entry.value
    return [entry.value for entry in entries]


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
async def test_what_is_read_is_what_was_sent_however_it_was_cut(
    values: list[Any], size: int, ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps({"requests": values}, ensure_ascii=ascii_only, indent=indent)
    try:
        body.encode()
    except UnicodeEncodeError:
        return
    assert await read(body, size=size, largest=100_000) == values


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not valid JSON"),
        ("[]", "not valid JSON"),
        ("{}", "requests: Field required"),
        ('{"requests": null}', "requests: Input should be a valid list"),
        ('{"requests": []', "not valid JSON"),
        ('{"requests": [1 2]}', "not valid JSON"),
        ('{"requests": [1,]}', "not valid JSON"),
        ('{"requests": []} 1', "Extra data"),
        ('{"requests": [], "requests": []}', "only once"),
        ('{"model": 1}', "model: Extra inputs are not permitted"),
        ('{"requests": [NaN]}', "NaN"),
        ('{"requests": [["\\ud800"]]}', "surrogate"),
        (b'{"requests": ["\xff"]}', "UTF-8"),
        (b'{"requests": ["\xc3', "UTF-8"),
        ('{"requests": [' + "[" * 300 + "]" * 300 + "]}", "levels deep"),
        ('{"requests": [' + "[" * 100_000, "levels deep"),
        ('{"requests": [' + "1" * 5000 + "]}", "digits"),
    ],
)
async def test_what_is_wrong_is_said(body: bytes | str, said: str) -> None:
    for size in (1, 64, 10**6):
        with pytest.raises(InvalidRequest) as caught:
            await read(body, size=size, largest=10**6)
        assert said in caught.value.message


async def test_one_request_may_not_take_all_the_memory() -> None:
    endless = '{"requests": [1, "' + "x" * 10**6
    with pytest.raises(TooLarge, match=r"requests\.1: "):
        await read(endless, size=1000, largest=5000)


async def test_a_mistake_is_found_without_reading_on() -> None:
    consumed = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal consumed
        async for chunk in chunks(b'{"requests": [{"a": oops' + b" " * 10**6, 1000):
            consumed += len(chunk)
            yield chunk

    with pytest.raises(CodecoveError):
        async for _ in read_requests(counted(), largest=10**7):
            pass
    assert consumed <= 2000
