"""`str_replace`: the one place, and the hunk that shows the change."""

import difflib
import re
from dataclasses import dataclass

from codecove.tools.failures import ToolFailure, invalid_input
from codecove.tools.text_view import split_lines

_CONTEXT = 3
_MAX_COMPARED = 1_000_000
"""Pairs of lines that are compared for the smallest change; a larger one is shown as all old, then all new."""
_MAX_PLACES = 10


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk of a unified diff: the numbers of its header, and its lines, each after a space, `-` or `+`."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: list[str]


def replace_once(path: str, text: str, old: str, new: str) -> str:
    """`text` with the one occurrence of `old` replaced. Raises `ToolFailure`.

    A newline in `old` also stands for CRLF, and `new` takes the line ends of the place: models write `\\n` whatever
    the file has.
    """
    parts = old.replace("\r\n", "\n").split("\n")
    matches = list(re.finditer(r"\r?\n".join(re.escape(part) for part in parts), text))
    if not matches:
        raise ToolFailure("string_not_found", _not_found(path, text, parts))
    if len(matches) > 1:
        raise invalid_input(_ambiguous(path, text, matches))
    match = matches[0]
    if _has_crlf(text, match):
        new = re.sub(r"(?<!\r)\n", "\r\n", new)
    if new == match[0]:
        raise invalid_input(f"`old_str` and `new_str` are the same: {path} was not changed.")
    return text[: match.start()] + new + text[match.end() :]


def hunk_between(old: str, new: str) -> Hunk:
    """The smallest single hunk that holds all changes, with three lines of context."""
    before, after = split_lines(old), split_lines(new)
    start = _common_prefix(before, after)
    end = _common_prefix(before[start:][::-1], after[start:][::-1])
    first = max(start - _CONTEXT, 0)
    trailing = min(end, _CONTEXT)
    old_end, new_end = len(before) - end, len(after) - end
    lines = [
        *(_shown(" ", line) for line in before[first:start]),
        *_changes(before[start:old_end], after[start:new_end]),
        *(_shown(" ", line) for line in before[old_end : old_end + trailing]),
    ]
    old_lines, new_lines = old_end + trailing - first, new_end + trailing - first
    # As in every unified diff: of an empty side, the line before it is named.
    return Hunk(first + (old_lines > 0), old_lines, first + (new_lines > 0), new_lines, lines)


def _changes(before: list[str], after: list[str]) -> list[str]:
    if len(before) * len(after) > _MAX_COMPARED:
        return [*(_shown("-", line) for line in before), *(_shown("+", line) for line in after)]
    lines: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [_shown(" ", line) for line in before[i1:i2]]
        else:
            lines += [_shown("-", line) for line in before[i1:i2]]
            lines += [_shown("+", line) for line in after[j1:j2]]
    return lines


def _shown(sign: str, line: str) -> str:
    return sign + line.removesuffix("\n").removesuffix("\r")


def _common_prefix(left: list[str], right: list[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _has_crlf(text: str, match: re.Match[str]) -> bool:
    """Whether lines end with CRLF at the place of the match; where it has no line end, in most of the file."""
    if "\n" in match[0]:
        return "\r\n" in match[0]
    crlf = text.count("\r\n")
    return crlf > text.count("\n") - crlf


def _ambiguous(path: str, text: str, matches: list[re.Match[str]]) -> str:
    numbers = [str(text.count("\n", 0, match.start()) + 1) for match in matches[:_MAX_PLACES]]
    more = ", …" if len(matches) > _MAX_PLACES else ""
    return (
        f"`old_str` occurs {len(matches)} times in {path} (at lines {', '.join(numbers)}{more}). "
        "Add lines around it until it occurs once."
    )


def _not_found(path: str, text: str, parts: list[str]) -> str:
    message = f"`old_str` does not occur in {path}."
    first = next((part.strip() for part in parts if part.strip()), "")
    for number, line in enumerate(text.split("\n"), start=1):
        if first and first in line:
            return (
                f"{message} Its first line is like line {number}, but the rest or the white space differs. "
                "View the file and copy the text exactly."
            )
    return f"{message} View the file and copy the text exactly."
