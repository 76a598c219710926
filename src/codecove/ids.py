"""Identifiers, as the API makes them: a prefix, then 24 characters of `[A-Za-z0-9]` beginning with `01`.

The 131 random bits come from the operating system, so that an id can't be guessed.
"""

import re
import secrets
import string
from typing import Literal

Prefix = Literal["msg", "srvtoolu", "toolu", "container", "file", "msgbatch", "req", "wrkspc", "apikey"]

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 22
_NUMBERS = len(_ALPHABET) ** _LENGTH
_BODY = re.compile(r"01[A-Za-z0-9]{22}")


def new(prefix: Prefix) -> str:
    """A new identifier, such as `container_01Qh1LG5zm6onKQjYrHnhrvi`."""
    number, body = secrets.randbelow(_NUMBERS), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        body += _ALPHABET[digit]
    return f"{prefix}_01{body}"


def is_valid(prefix: Prefix, value: str) -> bool:
    """Whether `value` has the form that `new(prefix)` gives."""
    head, _, body = value.partition("_")
    return head == prefix and _BODY.fullmatch(body) is not None
