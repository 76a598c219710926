"""Streamed JSON: what is let through is always the beginning of an object, and closes to one."""

import itertools
import json
from typing import Any

import pydantic_core
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codecove.messages.json_prefix import MAX_DEPTH, JsonPrefix

# Text as JSON can carry it to every client: without halves of surrogate pairs.
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)
styles = st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}])
almost_json = st.text(
    st.sampled_from('{}[]",:\\ue+-.0123abdDfnrtlsuEé\n\t ') | st.characters(exclude_categories=["Cs"])
)


def cut(text: str, places: list[int]) -> list[str]:
    borders = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in itertools.pairwise(borders)]


def scan(pieces: list[str]) -> tuple[str, str, JsonPrefix]:
    scanner = JsonPrefix()
    passed = "".join(scanner.feed(piece) for piece in pieces)
    return passed, scanner.close(), scanner


def check_object(text: str) -> Any:
    """Two parsers agree that it is an object: Python's, and the one of the official client."""
    value = json.loads(text)
    assert isinstance(value, dict)
    pydantic_core.from_json(text)
    return value


@given(objects, styles, st.lists(st.integers(min_value=0)))
def test_an_object_passes_as_it_is_however_it_is_cut(value: dict[str, Any], style: Any, places: list[int]) -> None:
    text = json.dumps(value, **style)
    passed, closing, scanner = scan(cut(text, places))
    assert passed == text
    assert closing == ""
    assert scanner.is_complete
    assert scanner.error is None
    assert not scanner.was_cut
    assert scanner.value() == value


@given(objects, styles, st.integers(min_value=0), st.lists(st.integers(min_value=0)))
def test_a_cut_object_closes_to_an_object(value: dict[str, Any], style: Any, end: int, places: list[int]) -> None:
    text = json.dumps(value, **style)
    text = text[: end % len(text)]
    passed, closing, scanner = scan(cut(text, places))
    assert text.startswith(passed)
    assert scanner.error is None
    assert scanner.was_cut
    assert scanner.value() == check_object(passed + closing)


@given(almost_json, st.lists(st.integers(min_value=0)))
@example('{"a":1,}', [])
@example('{"a":[1,],', [])
@example('{"a":"\\ud83d\\ude00', [4, 9, 12])
@example('{"a":"\\ud83dx"}', [])
@example('{"a":01}', [])
@example('{"a":-', [])
@example('{"a":1.', [])
@example('{"a":tru', [])
@example("{]", [])
@example('{"a":1}}', [])
def test_anything_closes_to_an_object(text: str, places: list[int]) -> None:
    passed, closing, scanner = scan(cut(text, places))
    assert scanner.value() == check_object(passed + closing)
    assert scan([text])[:2] == (passed, closing), "the pieces make no difference"
    try:
        whole = isinstance(json.loads(text, parse_constant=float), dict)
    except ValueError:
        whole = False
    if scanner.error is None and not scanner.was_cut:
        assert whole


@given(objects, st.integers(min_value=0), st.characters(exclude_categories=["Cs"]))
def test_one_changed_character_never_lets_broken_json_through(value: dict[str, Any], at: int, char: str) -> None:
    text = json.dumps(value)
    at %= len(text)
    passed, closing, _ = scan([text[:at] + char + text[at + 1 :]])
    check_object(passed + closing)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hello", "begins with 'h'"),
        ('["a"]', "begins with '['"),
        ('{"a" 1}', "colon"),
        ('{"a":1 "b"}', "comma"),
        ("{a:1}", "key"),
        ('{"a":1,}', "key"),
        ('{"a":+1}', "value"),
        ('{"a":1.x}', "not a number"),
        ('{"a":"\n"}', "control character"),
        ('{"a":"\\x"}', "not an escape"),
        ('{"a":"\\udc00"}', "surrogate"),
        ('{"a":[1}', "bracket"),
        ('{"a":nil}', "'nil}'"),
        ('{"a":1e999}', "too large"),
        ('{"a":' + "9" * 5000 + "}", "more than 1000 characters"),
        ('{"a":' + "9" * 5000, "more than 1000 characters"),
        ('{} {"a":1}', "after its end"),
        ('{"a":' + "[" * (MAX_DEPTH + 1), "nested"),
    ],
)
def test_the_error_says_what_is_wrong(text: str, error: str) -> None:
    passed, closing, scanner = scan([text])
    check_object(passed + closing)
    assert scanner.error is not None
    assert error in scanner.error


def test_after_an_error_nothing_is_let_through() -> None:
    scanner = JsonPrefix()
    assert scanner.feed('{"a": 1; ') == '{"a": 1'[:6]
    assert scanner.feed('"b": 2}') == ""


def test_nothing_at_all_is_the_empty_object() -> None:
    assert scan([])[:2] == ("", "{}")
    assert scan(["", "  \n"])[1] == "{}"


def test_a_word_is_let_through_as_soon_as_it_can_stay() -> None:
    scanner = JsonPrefix()
    assert [scanner.feed(piece) for piece in ['{"comma', 'nd": "l', 's", "n": 1', "2}"]] == [
        '{"comma',
        'nd": "l',
        's", "n": ',
        "12}",
    ]
