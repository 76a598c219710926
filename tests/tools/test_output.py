import json

import pytest

from codecove.sandbox.host import Output
from codecove.tools.output import printable_name, text_of


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\n", "plain\n"),
        (b"\xff\xfeok", "��ok"),
        (b"a\0b\rc\x1b[31m", "a\0b\rc\x1b[31m"),
        (b"\xed\xa0\x80", "���"),
        ("数🎉".encode(), "数🎉"),
    ],
)
def test_bytes_become_text_that_shows_what_was_wrong(data: bytes, text: str) -> None:
    assert text_of(Output(data)) == text


def test_a_cut_says_how_much_is_missing() -> None:
    assert text_of(Output(b"head", b"tail", 12_345)) == "head\n[... 12,345 bytes of output cut here ...]\ntail"


def test_a_cut_through_a_character_leaves_no_damaged_one() -> None:
    data = "ü".encode()
    text = text_of(Output(b"head" + data[:1], data[1:] + b"tail", 10))
    assert text == "head\n[... 12 bytes of output cut here ...]\ntail"


def test_without_a_cut_a_character_may_lie_across_head_and_tail() -> None:
    data = "ü".encode()
    assert text_of(Output(data[:1], data[1:])) == "ü"


def test_a_name_that_is_not_utf8_can_be_sent() -> None:
    assert json.dumps(printable_name("a\udcffb"), ensure_ascii=False).encode() == '"a�b"'.encode()
