"""File names: which ones the API allows."""

import unicodedata

MAX_LENGTH = 255
"""Characters."""

_FORBIDDEN = frozenset('<>:"|?*\\/')


def problem_with(name: str) -> str | None:
    """Why `name` can't be a file's name, as a sentence for the client; None if it can."""
    if not 1 <= len(name) <= MAX_LENGTH:
        return f"a file name has 1 to {MAX_LENGTH} characters, not {len(name)}"
    if name in (".", ".."):
        return f"{name!r} is the name of a directory"
    wrong = sorted({character for character in name if not _is_allowed(character)})
    if wrong:
        found = " ".join(ascii(character)[1:-1] for character in wrong)
        return f'a file name may not contain < > : " | ? * \\ / or control characters; this one has {found}'
    return None


def cleaned(name: str) -> str:
    """`name` as close as the rules allow: for a file that a program in a container has named.

    What is forbidden (and bytes that are not UTF-8) becomes `_`; what is too long loses the end of its stem.
    """
    name = "".join(character if _is_allowed(character) else "_" for character in name)
    if len(name) > MAX_LENGTH:
        stem, dot, suffix = name.rpartition(".")
        keep = MAX_LENGTH - len(suffix) - 1
        name = f"{stem[:keep]}.{suffix}" if dot and keep > 0 else name[:MAX_LENGTH]
    return "_" if name in ("", ".", "..") else name


def _is_allowed(character: str) -> bool:
    # Cc: control characters. Cs: half of a surrogate pair, which is no text and can't be stored.
    return character not in _FORBIDDEN and unicodedata.category(character) not in ("Cc", "Cs")
