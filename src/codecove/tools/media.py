"""What kind of file some bytes are, from their beginning alone."""

import base64
import binascii

_LONGEST_SIGNATURE = 12


def image_media_type(head: bytes) -> str | None:
    """The media type of an image that models can see; None for everything else. Needs the first 12 bytes."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def image_media_type_of_base64(data: str) -> str | None:
    """The same, of bytes in base64."""
    prefix = data[: _LONGEST_SIGNATURE // 3 * 4]
    try:
        return image_media_type(base64.b64decode(prefix, validate=True))
    except (binascii.Error, ValueError):
        return None


def is_pdf(head: bytes) -> bool:
    """Whether it is a PDF."""
    return head.startswith(b"%PDF-")
