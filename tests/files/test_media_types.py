import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.files.media_types import SNIFFED_BYTES, media_type

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.mark.parametrize(
    ("given_type", "filename", "head", "expected"),
    [
        ("text/csv", "a.bin", PNG, "text/csv"),
        ("Text/CSV; charset=utf-8", "a", b"", "text/csv"),
        ("application/octet-stream", "a.csv", b"", "text/csv"),
        ("no type", "a.csv", b"", "text/csv"),
        ("text/x\r\nset-cookie: a", "a.csv", b"", "text/csv"),
        ("", "a.csv", b"", "text/csv"),
        (None, "Umsätze.XLSX", b"", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (None, "archive.tar.gz", b"", "application/gzip"),
        (None, "chart", PNG, "image/png"),
        (None, "photo", b"\xff\xd8\xff\xe0", "image/jpeg"),
        (None, "photo", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (None, "paper", b"%PDF-1.7", "application/pdf"),
        (None, "Makefile", "läuft".encode(), "text/plain"),
        (None, "empty", b"", "text/plain"),
        (None, "core", b"\x7fELF\0", "application/octet-stream"),
        (None, "latin1", "läuft".encode("latin-1"), "application/octet-stream"),
        (None, "dot.", b"x", "text/plain"),
    ],
)
def test_media_type(given_type: str | None, filename: str, head: bytes, expected: str) -> None:
    assert media_type(given_type, filename, head) == expected


@given(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_text_is_text_wherever_it_is_cut(text: str) -> None:
    head = ("- " + text * SNIFFED_BYTES).encode()[:SNIFFED_BYTES]
    assert media_type(None, "unknown", head) == "text/plain"
