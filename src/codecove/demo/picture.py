"""Is a file a PNG with something drawn on it?"""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class NotADrawing(ValueError):
    """The bytes are no PNG, or one of a single colour."""


def check_png(data: bytes) -> tuple[int, int]:
    """Width and height in pixels. Raises `NotADrawing`."""
    if not data.startswith(_SIGNATURE):
        raise NotADrawing("the file is not a PNG")
    size: tuple[int, int] = (0, 0)
    packed = b""
    position = len(_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            size = struct.unpack_from(">II", chunk)
        elif kind == b"IDAT":
            packed += chunk
        position += length + 12
    # A single colour is one byte value or a few, whatever the filter; a drawing has many.
    if len(set(zlib.decompress(packed))) < 16:
        raise NotADrawing("nothing is drawn on the picture")
    return size
