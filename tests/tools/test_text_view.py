from typing import Any

import pytest

from codecove.tools.failures import ToolFailure
from codecove.tools.text_view import MAX_VIEW, Range, parse_range, select_lines, split_lines

TEXT = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.mark.parametrize(
    ("wanted", "content", "first", "shown"),
    [
        (None, TEXT, 1, 10),
        ([1, -1], TEXT, 1, 10),
        ([3, 4], "line 3\nline 4\n", 3, 2),
        ([9, -1], "line 9\nline 10\n", 9, 2),
        ([9, 99], "line 9\nline 10\n", 9, 2),
        ([10, 10], "line 10\n", 10, 1),
    ],
)
def test_a_range_selects_lines_as_they_stand(wanted: Any, content: str, first: int, shown: int) -> None:
    view = select_lines(TEXT, parse_range(wanted))
    assert (view.content, view.first, view.shown, view.total) == (content, first, shown, 10)


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2), ("a\r\nb\r\n", 2), ("a\x0b\u2028b\n", 1)],
)
def test_only_a_newline_ends_a_line(text: str, lines: int) -> None:
    view = select_lines(text, None)
    assert (view.content, view.total) == (text, lines)
    assert "".join(split_lines(text)) == text


@pytest.mark.parametrize(
    "wanted", [[0, 5], [5, 3], [1], [1, 2, 3], ["1", "2"], [1.0, 2.0], [True, 2], "1-2", {}, [-1, -1], [1, -2]]
)
def test_a_range_that_makes_no_sense_is_refused(wanted: Any) -> None:
    with pytest.raises(ToolFailure, match=r"view_range. must be \[first, last\]") as refused:
        parse_range(wanted)
    assert refused.value.code == "invalid_tool_input"


def test_a_range_behind_the_end_says_how_long_the_file_is() -> None:
    with pytest.raises(ToolFailure, match="begins at line 11, but the file has 10 lines"):
        select_lines(TEXT, Range(11, None))
    assert select_lines("", Range(1, None)).shown == 0


def test_a_long_file_is_cut_after_a_whole_line_and_says_so() -> None:
    view = select_lines(TEXT * 2000, None)
    assert view.total == 20_000
    assert len(view.content) < MAX_VIEW + 200
    kept, note = view.content.rsplit("\n", 1)
    assert view.shown == kept.count("\n") + 1
    assert note == (
        f"[... cut after line {view.shown:,}, {20_000 - view.shown:,} more lines: "
        "view them by view_range, or search with bash ...]"
    )
    assert select_lines(TEXT * 2000, Range(view.shown + 1, view.shown + 1)).shown == 1


def test_a_line_too_long_for_a_view_is_cut_and_says_so() -> None:
    view = select_lines("x" * (MAX_VIEW + 5) + "\nnext\n", None)
    assert (view.shown, view.total) == (1, 2)
    assert "[... this line has 100,006 characters, 6 not shown" in view.content


def test_a_file_read_in_part_has_no_known_length() -> None:
    view = select_lines(TEXT, None, complete=False)
    assert (view.shown, view.total) == (10, None)
    assert "the file goes on" in view.content
    with pytest.raises(ToolFailure, match="only 10 lines can be viewed"):
        select_lines(TEXT, Range(11, None), complete=False)
