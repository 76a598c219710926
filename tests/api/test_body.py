"""Request bodies: what is refused, and that the refusal says where."""

import json

import pytest

from codecove.api.body import MAX_DEPTH, encode_json, parse_object
from codecove.errors import InvalidRequest


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "line 1 column 1"),
        (b'{"a": 1,}', "line 1 column"),
        (b'{"a":\n tru}', "line 2 column 2"),
        (b"[1]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
        (b'"text"', "must be a JSON object, not a string"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON value"),
        (b'{"a": "\xff"}', "not valid UTF-8: byte 7"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": "\\ud83d"}', "unpaired surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (nested(MAX_DEPTH + 2), "levels deep"),
        (nested(100_000), "levels deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels deep"),
    ],
)
def test_bad_body_is_refused_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    assert message in caught.value.message


def test_good_body_is_parsed() -> None:
    assert parse_object('{"a": ["é", "\\ud83d\\ude00", 1.5, null]}'.encode()) == {"a": ["é", "😀", 1.5, None]}


def test_depth_within_the_limit_is_accepted() -> None:
    parse_object(nested(MAX_DEPTH))


def test_half_a_surrogate_pair_still_leaves_as_json() -> None:
    assert json.loads(encode_json({"text": "a\ud83d"})) == {"text": "a\ud83d"}
    assert encode_json({"text": "é"}) == '{"text":"é"}'.encode()
