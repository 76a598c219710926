"""What a program wrote, as text that fits a JSON string."""

import codecs

from codecove.sandbox.host import Output

_CONTINUATION = range(0x80, 0xC0)


def text_of(output: Output) -> str:
    """The kept bytes as text, with a line in the place of what was dropped.

    Bytes that are not UTF-8 become U+FFFD, which is seen; NUL, carriage returns and escape sequences stay.
    """
    if not output.dropped:
        return decode(output.head + output.tail)
    head, head_rest = _without_partial_end(output.head)
    tail = _without_partial_start(output.tail)
    dropped = output.dropped + head_rest + len(output.tail) - len(tail)
    return f"{decode(head)}\n[... {dropped:,} bytes of output cut here ...]\n{decode(tail)}"


def decode(data: bytes) -> str:
    """UTF-8, with U+FFFD for every byte that isn't; never a lone surrogate."""
    return data.decode("utf-8", "replace")


def printable_name(name: str) -> str:
    """A file name from a container: its bytes that are not UTF-8 come as surrogate escapes, which JSON can't have."""
    return decode(name.encode("utf-8", "surrogateescape"))


def _without_partial_end(data: bytes) -> tuple[bytes, int]:
    """Cut back to a whole character, and by how many bytes: the cut went through one, the program didn't."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    pending = len(decoder.getstate()[0])
    return data[: len(data) - pending], pending


def _without_partial_start(data: bytes) -> bytes:
    start = 0
    while start < min(3, len(data)) and data[start] in _CONTINUATION:
        start += 1
    return data[start:]
