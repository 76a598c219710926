"""Finds the first runnable code block in a text while it arrives, in pieces of any size."""

import io
import re
import tokenize
from collections import deque
from dataclasses import dataclass

from codecove.messages.fences import LANGUAGES

_OPENER = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})[ \t]*([\w+-]*)")
_MAYBE_OPENER = re.compile(r"[ \t]*(?:`{0,2}|~{0,2}|`{3,}[^`]*|~{3,}.*)")
_CLOSER = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*")
_MAYBE_CLOSER = re.compile(r"[ \t]*(?:`*|~*)[ \t]*")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?(?!<)[ \t]*(['\"]?)([A-Za-z_]\w*)\1")


@dataclass(frozen=True, slots=True)
class Text:
    """Text outside of runnable blocks, as it came."""

    text: str


@dataclass(frozen=True, slots=True)
class Begin:
    """A runnable block begins. `language`: python, bash or text_editor."""

    language: str


@dataclass(frozen=True, slots=True)
class Code:
    """More of the block's code, without the indentation of its fence."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The block ends. Not `complete`: the text was cut off in the middle of it."""

    complete: bool


Piece = Text | Begin | Code | End


@dataclass(slots=True)
class _Block:
    fence: str
    indent: int
    language: str | None
    """None: not to be run. Its lines are text, but no block begins in it."""
    raw: str
    """Its lines so far, until there is code in them: a block of nothing is text."""
    begun: bool = False
    code: str = ""
    held: str | None = None
    """What came since a line that closes the block, unless that line stands in a string."""


class FenceWatch:
    """Feed it the text; after the first runnable block it is `done`, and what follows is not looked at.

    A fence line inside a Python string of several lines, or inside a here document of bash, closes nothing.
    """

    def __init__(self, languages: frozenset[str]) -> None:
        self.done = False
        self._languages = languages
        self._line = ""
        self._passed = 0
        """Characters of the line that were passed on already."""
        self._block: _Block | None = None
        self._out: list[Piece] = []

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain by now."""
        for part in re.findall(r"[^\n]*\n|[^\n]+", text):
            if self.done:
                break
            self._line += part
            if part.endswith("\n"):
                self._end_line()
            elif self._passed or not self._is_undecided():
                self._pass_line()
        return self._taken()

    def end(self, *, cut: bool) -> list[Piece]:
        """The rest, when no more text comes. `cut`: the model was stopped in the middle."""
        if self._line and not self.done:
            self._end_line()
        block = self._block
        if block is not None and not self.done:
            if not block.begun:
                self._text(block.raw if block.language else "")
            elif block.held is not None and _is_inside_text(block.language, block.code + block.held):
                # The string was never closed: a mistake in the code, which ended at its fence.
                self._finish(complete=True)
            else:
                self._release(block)
                self._finish(complete=not cut)
        return self._taken()

    def _taken(self) -> list[Piece]:
        out, self._out = self._out, []
        return out

    def _is_undecided(self) -> bool:
        pattern = _MAYBE_OPENER if self._block is None else _MAYBE_CLOSER
        return pattern.fullmatch(self._line) is not None

    def _end_line(self) -> None:
        line = self._line.rstrip("\r\n")
        block = self._block
        if block is None:
            opener = _OPENER.match(line) if not self._passed else None
            if opener is None or not self._open(opener):
                self._pass_line()
        elif not self._passed and _closes(line, block.fence):
            self._close(block)
        else:
            self._pass_line()
        self._line, self._passed = "", 0

    def _open(self, opener: re.Match[str]) -> bool:
        """Begin a block; the value says whether its first line is held back."""
        language = LANGUAGES.get(opener[3].lower())
        runnable = language if language in self._languages else None
        self._block = _Block(opener[2], len(opener[1]), runnable, raw=self._line)
        return runnable is not None

    def _close(self, block: _Block) -> None:
        if block.language is None:
            self._pass_line()
            self._block = None
        elif not block.begun:
            self._text(block.raw + self._line)
            self._block = None
        elif _is_inside_text(block.language, block.code + (block.held or "")):
            block.held = (block.held or "") + self._dedented(block)
        else:
            self._release(block)
            self._finish(complete=True)

    def _release(self, block: _Block) -> None:
        if block.held is not None:
            held, block.held = block.held, None
            self._code(block, held)

    def _finish(self, *, complete: bool) -> None:
        self._out.append(End(complete))
        self.done = True

    def _pass_line(self) -> None:
        """Pass on what has come of the line, in text or in code."""
        block = self._block
        if block is None or block.language is None:
            self._text(self._line[self._passed :])
        elif not block.begun and not self._line.strip():
            block.raw += self._line
        else:
            if not block.begun:
                block.begun = True
                self._out.append(Begin(block.language))
            self._code(block, self._line[self._passed :] if self._passed else self._dedented(block))
        self._passed = len(self._line)

    def _dedented(self, block: _Block) -> str:
        space = len(self._line) - len(self._line.lstrip(" \t"))
        return self._line[min(space, block.indent) :]

    def _code(self, block: _Block, text: str) -> None:
        if block.held is not None:
            block.held += text
        elif text:
            block.code += text
            self._out.append(Code(text))

    def _text(self, text: str) -> None:
        if text:
            self._out.append(Text(text))


def _closes(line: str, fence: str) -> bool:
    closer = _CLOSER.fullmatch(line)
    return closer is not None and closer[1].startswith(fence)


def _is_inside_text(language: str | None, code: str) -> bool:
    """Whether the code ends inside of a text that goes over several lines."""
    if language == "python":
        return _is_inside_string(code)
    return language == "bash" and _is_inside_here_document(code)


def _is_inside_string(code: str) -> bool:
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error)
    except SyntaxError:
        return False
    return False


def _is_inside_here_document(code: str) -> bool:
    waiting: deque[str] = deque()
    for line in code.split("\n"):
        if waiting:
            if line.lstrip("\t") == waiting[0]:
                waiting.popleft()
        else:
            waiting += [match[2] for match in _HERE_DOCUMENT.finditer(line)]
    return bool(waiting)
