import codecs

import pytest

from codecove.tools.failures import ToolFailure
from codecove.tools.text_file import parse_text


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        ("grün 数 🎉\r\n".encode(), "grün 数 🎉\r\n", "utf-8"),
        (codecs.BOM_UTF8 + b"a", "a", "utf-8"),
        (codecs.BOM_UTF16_LE + "ü\n".encode("utf-16-le"), "ü\n", "utf-16-le"),
        (codecs.BOM_UTF16_BE + "ü\n".encode("utf-16-be"), "ü\n", "utf-16-be"),
        (codecs.BOM_UTF32_LE + "🎉".encode("utf-32-le"), "🎉", "utf-32-le"),
        ("Müller; Straße\n".encode("latin-1"), "Müller; Straße\n", "latin-1"),
    ],
)
def test_text_is_read_in_its_encoding_and_written_back_in_it(data: bytes, text: str, encoding: str) -> None:
    file = parse_text(data, complete=True)
    assert file is not None
    assert (file.text, file.encoding) == (text, encoding)
    assert file.encode("x", file.text) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\0\0",
        bytes(1000),
        bytes(range(1, 32)) * 10 + b"\xff\xfe",
        codecs.BOM_UTF16_LE + b"\x00\xd8\x00",
    ],
)
def test_what_is_not_text_is_binary(data: bytes) -> None:
    assert parse_text(data, complete=True) is None


def test_a_file_that_was_cut_within_a_character_is_still_utf8() -> None:
    file = parse_text("grün".encode()[:3], complete=False)
    assert file is not None
    assert (file.text, file.encoding) == ("gr", "utf-8")
    whole = parse_text("grün".encode()[:3], complete=True)
    assert whole is not None
    assert whole.encoding == "latin-1"


def test_a_character_that_the_encoding_lacks_is_the_models_mistake() -> None:
    file = parse_text("Müller".encode("latin-1"), complete=True)
    assert file is not None
    with pytest.raises(ToolFailure, match=r"a\.csv is not UTF-8 .* latin-1, which has no '数'"):
        file.encode("a.csv", "数")
