"""Streamed JSON that is only passed on while it is one.

Models send the input of a tool call as pieces of JSON. Open models break it, and `max_tokens` cuts it. What a client
has put together at the end must still be JSON, so this scanner lets a piece through only as far as it continues a JSON
object, and says at the end what closes the object.
"""

import json
import math
import re
from typing import Any, Literal

MAX_DEPTH = 100
"""Nesting beyond this is refused: the parsers of some clients stop at little more."""
MAX_DIGITS = 1000
"""Longer numbers are refused, for the same reason."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_SPACE = " \t\n\r"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A beginning of a number, and what completes it.
_NUMBER_PREFIX = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:(?<=[0-9])[eE][+-]?[0-9]*)?)?")
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_ESCAPE_PREFIX = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LOW = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LOW_PREFIX = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")

_Expect = Literal["start", "key_or_end", "key", "colon", "value", "value_or_end", "comma_or_end", "end"]


class _Broken(Exception):
    """The text at this point can't continue a JSON object."""


class _Incomplete(Exception):
    """The rest of the text is the beginning of something: wait for more."""


class JsonPrefix:
    """Scans one JSON object that arrives in pieces.

    `feed` gives back what may be passed on. An unfinished escape, a comma and a number's uncertain end are held back
    until it is clear that they can stay. After the first error nothing is let through any more.
    """

    def __init__(self) -> None:
        self.error: str | None = None
        """What is wrong with the text, once something is."""
        self.was_cut = False
        """Whether the text ended before the object did; known once it is closed."""
        self._passed: list[str] = []
        self._held = ""
        self._expect: _Expect = "start"
        self._stack: list[str] = []
        self._in: Literal["between", "string", "key"] = "between"

    @property
    def is_complete(self) -> bool:
        """Whether the object has been closed by the text itself, with nothing but space after it."""
        return self._expect == "end" and self.error is None

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing but space."""
        return self._expect == "start" and self.error is None

    def feed(self, piece: str) -> str:
        """Take the next piece; the value is the text that may be passed on now, often the same."""
        if self.error is not None:
            return ""
        text, position = self._held + piece, 0
        expect = self._expect
        try:
            while position < len(text):
                expect = self._expect
                position = self._step(text, position)
        except _Incomplete:
            self._expect = expect
        except _Broken as error:
            self._expect = expect
            self.error = str(error)
        self._held = text[position:]
        return self._pass(text[:position])

    def close(self) -> str:
        """What makes an object of all that was passed on; empty when it is one already."""
        self.was_cut = not self.is_complete and self.error is None
        if self._expect == "start":
            return self._pass("{}")
        closing = ""
        if self._in != "between":
            closing += '"'
            self._expect = "colon" if self._in == "key" else "comma_or_end"
        if self._expect == "colon":
            closing += ":null"
        elif self._expect == "value":
            closing += "null"
        closing += "".join("}" if opener == "{" else "]" for opener in reversed(self._stack))
        self._stack.clear()
        self._in, self._expect = "between", "end"
        return self._pass(closing)

    def value(self) -> dict[str, Any]:
        """The object that was passed on, once it is closed."""
        value = json.loads("".join(self._passed))
        assert isinstance(value, dict)  # noqa: S101 -- what the scanner lets through begins with a brace
        return value

    def _pass(self, text: str) -> str:
        if text:
            self._passed.append(text)
        return text

    def _step(self, text: str, at: int) -> int:
        """Scan one token from `at`; the value is where it ends."""
        if self._in != "between":
            return self._string(text, at)
        character = text[at]
        if character in _SPACE:
            return at + 1
        match self._expect:
            case "start":
                if character != "{":
                    raise _Broken(f"it begins with {character!r}, not with a brace")
                return self._open(character, at)
            case "end":
                raise _Broken(f"there is more text after its end: {text[at : at + 20]!r}")
            case "colon":
                if character != ":":
                    raise _Broken(f"there is {character!r} where a colon should be")
                self._expect = "value"
                return at + 1
            case "comma_or_end":
                return self._after_value(text, at)
            case "key" | "key_or_end":
                return self._key(character, at)
            case _:
                return self._value(text, at)

    def _open(self, character: str, at: int) -> int:
        if len(self._stack) >= MAX_DEPTH:
            raise _Broken(f"it is nested more than {MAX_DEPTH} levels deep")
        self._stack.append(character)
        self._expect = "key_or_end" if character == "{" else "value_or_end"
        return at + 1

    def _key(self, character: str, at: int) -> int:
        if character == "}" and self._expect == "key_or_end":
            return self._close_bracket(character, at)
        if character != '"':
            raise _Broken(f"there is {character!r} where a key should be")
        self._in = "key"
        return at + 1

    def _close_bracket(self, character: str, at: int) -> int:
        if self._stack[-1] != ("{" if character == "}" else "["):
            raise _Broken(f"there is {character!r} where the other bracket should be")
        self._stack.pop()
        self._expect = "comma_or_end" if self._stack else "end"
        return at + 1

    def _after_value(self, text: str, at: int) -> int:
        character = text[at]
        if character in "}]":
            return self._close_bracket(character, at)
        if character != ",":
            raise _Broken(f"there is {character!r} where a comma or a bracket should be")
        # The comma is passed on together with what begins after it: a dangling one could not be closed.
        following = at + 1
        while following < len(text) and text[following] in _SPACE:
            following += 1
        if following == len(text):
            raise _Incomplete
        if self._stack[-1] == "{":
            self._expect = "key"
            return self._key(text[following], following)
        self._expect = "value"
        return self._value(text, following)

    def _value(self, text: str, at: int) -> int:
        character = text[at]
        if character in "{[":
            return self._open(character, at)
        if character == '"':
            self._in = "string"
            return at + 1
        if character == "]" and self._expect == "value_or_end":
            return self._close_bracket(character, at)
        if character in _LITERALS:
            return self._literal(text, at)
        if character in "-0123456789":
            return self._number(text, at)
        raise _Broken(f"there is {character!r} where a value should be")

    def _literal(self, text: str, at: int) -> int:
        word = _LITERALS[text[at]]
        found = text[at : at + len(word)]
        if found == word:
            self._expect = "comma_or_end"
            return at + len(word)
        if word.startswith(found):
            raise _Incomplete
        raise _Broken(f"there is {found!r} where a value should be")

    def _number(self, text: str, at: int) -> int:
        number = _NUMBER_PREFIX.match(text, at)
        end = number.end() if number else at
        if end - at > MAX_DIGITS:
            raise _Broken(f"a number has more than {MAX_DIGITS} characters")
        if end == len(text):
            raise _Incomplete
        if not _NUMBER.fullmatch(text, at, end) or text[end] not in ",]}" + _SPACE:
            raise _Broken(f"{text[at : end + 1]!r} is not a number")
        if math.isinf(float(text[at:end])):
            raise _Broken(f"the number {text[at:end]} is too large")
        self._expect = "comma_or_end"
        return end

    def _string(self, text: str, at: int) -> int:
        plain = _PLAIN.match(text, at)
        end = plain.end() if plain else at
        if end > at:
            return end
        character = text[at]
        if character == '"':
            self._expect = "colon" if self._in == "key" else "comma_or_end"
            self._in = "between"
            return at + 1
        if character != "\\":
            raise _Broken(f"a string has the control character {character!r}, which must be escaped")
        return self._escape(text, at)

    def _escape(self, text: str, at: int) -> int:
        escape = _ESCAPE.match(text, at)
        if escape is None:
            if _ESCAPE_PREFIX.fullmatch(text, at):
                raise _Incomplete
            raise _Broken(f"{text[at : at + 2]!r} is not an escape")
        end = escape.end()
        if _LOW.match(text, at):
            raise _Broken(f"{escape.group()!r} is half of a surrogate pair")
        if not _HIGH.match(text, at):
            return end
        low = _LOW.match(text, end)
        if low is not None:
            return low.end()
        if _LOW_PREFIX.fullmatch(text, end):
            raise _Incomplete
        raise _Broken(f"{escape.group()!r} is half of a surrogate pair")
