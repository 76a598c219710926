"""Which lines of a text a view shows."""

from dataclasses import dataclass

from codecove.tools.failures import invalid_input

MAX_VIEW = 100_000
"""Characters of one view; about 25,000 tokens."""


@dataclass(frozen=True, slots=True)
class Range:
    """Lines by number from 1, both inclusive; `last` None is the end."""

    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class TextView:
    """What is shown. A line that says what was cut, if there is one, is counted by none of the numbers."""

    content: str
    first: int
    shown: int
    total: int | None
    """None when the file was too large to be read to its end."""


def parse_range(value: object) -> Range | None:
    """`view_range` as the model gave it. Raises `ToolFailure`."""
    if value is None:
        return None
    problem = invalid_input(
        "`view_range` must be [first, last]: two line numbers, the first at least 1, the last not before it "
        f"or -1 for the end; not {str(value)[:100]}."
    )
    if not isinstance(value, list) or len(value) != 2:
        raise problem
    first, last = value
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in value):
        raise problem
    if first < 1 or (last != -1 and last < first):
        raise problem
    return Range(first, None if last == -1 else last)


def select_lines(text: str, wanted: Range | None, *, complete: bool = True) -> TextView:
    """The wanted lines as they stand in the text. `complete`: the text is the whole file. Raises `ToolFailure`."""
    lines = split_lines(text)
    wanted = wanted or Range(1, None)
    if wanted.first > max(len(lines), 1):
        there = f"the file has {len(lines):,} lines" if complete else f"only {len(lines):,} lines can be viewed"
        raise invalid_input(f"`view_range` begins at line {wanted.first:,}, but {there}.")
    chosen = lines[wanted.first - 1 : wanted.last]
    fitting = _fitting(chosen)
    content = "".join(chosen[:fitting])
    total = len(lines) if complete else None
    if fitting == 0 and chosen:
        return TextView(chosen[0][:MAX_VIEW] + _cut_note(chosen[0]), wanted.first, 1, total)
    reached_end = wanted.last is None or wanted.last >= len(lines)
    if fitting < len(chosen) or (reached_end and not complete):
        last = wanted.first + fitting - 1
        rest = f"{len(lines) - last:,} more lines" if complete else "the file goes on"
        content += f"[... cut after line {last:,}, {rest}: view them by view_range, or search with bash ...]"
    return TextView(content, wanted.first, fitting, total)


def split_lines(text: str) -> list[str]:
    """Lines with their ends. Only a newline ends one: `str.splitlines` knows ten more characters."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _fitting(lines: list[str]) -> int:
    """How many lines from the start fit in a view."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line)
        if size > MAX_VIEW:
            return count
    return len(lines)


def _cut_note(line: str) -> str:
    return f"\n[... this line has {len(line):,} characters, {len(line) - MAX_VIEW:,} not shown: use cut or Python ...]"
