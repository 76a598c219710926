"""Text in a file: which encoding, and back to the same bytes."""

import codecs
from dataclasses import dataclass

from codecove.tools.failures import invalid_input

_SNIFFED = 8192
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\b\x1b")

# UTF-32's mark begins with UTF-16's, so it is looked at first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file's text, without its byte order mark."""

    text: str
    encoding: str
    mark: bytes

    def encode(self, path: str, text: str) -> bytes:
        """New content in this file's encoding. Raises `ToolFailure` when that lacks a character."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise invalid_input(
                f"{path} is not UTF-8 and was read as {self.encoding}, which has no {text[error.start]!r}. "
                "Convert the file with iconv first."
            ) from error


def parse_text(data: bytes, *, complete: bool) -> TextFile | None:
    """The text, or None for a binary file. `complete`: there is no more of the file, so that it may not end in
    the middle of a character.

    UTF-8; UTF-16 and UTF-32 with a byte order mark; whatever else looks like text as Latin-1, which loses nothing.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = _decoded(data[len(mark) :], encoding, complete)
            return None if text is None else TextFile(text, encoding, mark)
    if b"\0" in data[:_SNIFFED]:
        return None
    text = _decoded(data, "utf-8", complete)
    if text is not None:
        return TextFile(text, "utf-8", b"")
    head = data[:_SNIFFED]
    if sum(byte in _CONTROLS for byte in head) * 20 > len(head):
        return None
    return TextFile(data.decode("latin-1"), "latin-1", b"")


def _decoded(data: bytes, encoding: str, complete: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(data, final=complete)
    except UnicodeDecodeError:
        return None
