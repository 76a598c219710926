import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.tools.failures import ToolFailure
from codecove.tools.text_edit import Hunk, hunk_between, replace_once

CONFIG = '{\n  "setting": "value",\n  "debug": true\n}'


def test_the_documents_example_gives_its_hunk_with_context() -> None:
    text = replace_once("config.json", CONFIG, '"debug": true', '"debug": false')
    lines = [" {", '   "setting": "value",', '-  "debug": true', '+  "debug": false', " }"]
    assert hunk_between(CONFIG, text) == Hunk(1, 4, 1, 4, lines)


def test_the_hunk_has_three_lines_of_context_and_counts_from_there() -> None:
    text = "".join(f"{number}\n" for number in range(1, 21))
    edited = replace_once("x", text, "10\n11\n", "ten\n")
    assert hunk_between(text, edited) == Hunk(7, 8, 7, 7, [" 7", " 8", " 9", "-10", "-11", "+ten", " 12", " 13", " 14"])


def test_lines_that_stay_inside_the_replaced_text_are_context() -> None:
    edited = replace_once("x", "a\nb\nc\n", "a\nb\nc", "A\nb\nC")
    assert hunk_between("a\nb\nc\n", edited).lines == ["-a", "+A", " b", "-c", "+C"]


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("a\r\nb\r\nc\r\n", "a\nb", "x\ny", "x\r\ny\r\nc\r\n"),
        ("a\r\nb\r\n", "b", "x\ny", "a\r\nx\r\ny\r\n"),
        ("a\r\nb\r\n", "a\r\nb", "x\r\ny", "x\r\ny\r\n"),
        ("a\nb\r\nc\n", "c", "x\ny", "a\nb\r\nx\ny\n"),
        ("a\nb\r\nc\n", "b\nc", "x\ny", "a\nx\r\ny\n"),
        ("a\nb\n", "b", "b\r", "a\nb\r\n"),
        ("a\nb", "b", "c", "a\nc"),
        ("a\nb\n", "\nb", "", "a\n"),
        ("a\\1(b", "\\1(", "\\g<0>", "a\\g<0>b"),
    ],
)
def test_line_ends_and_the_missing_final_newline_are_kept(before: str, old: str, new: str, after: str) -> None:
    assert replace_once("x", before, old, new) == after


def test_a_text_that_is_not_there_is_string_not_found() -> None:
    with pytest.raises(ToolFailure) as refused:
        replace_once("/workspace/x.py", "def f():\n\treturn 1\n", "def f():\n    return 1", "")
    assert refused.value.code == "string_not_found"
    assert "like line 1" in refused.value.message
    with pytest.raises(ToolFailure, match="does not occur in y"):
        replace_once("y", "a", "b", "")


def test_a_text_that_occurs_often_is_refused_with_the_count_and_the_lines() -> None:
    with pytest.raises(ToolFailure) as refused:
        replace_once("x", "a\nb\na\na\n", "a\n", "")
    assert refused.value.code == "invalid_tool_input"
    assert "occurs 3 times in x (at lines 1, 3, 4)" in refused.value.message
    with pytest.raises(ToolFailure, match=r"occurs 50 times .* 10, …"):
        replace_once("x", "a\n" * 50, "a", "b")


def test_an_edit_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ToolFailure, match="are the same"):
        replace_once("x", "a\r\n", "a\n", "a\n")


def test_a_large_replacement_is_shown_without_comparing_its_lines() -> None:
    before = "".join(f"a{number}\n" for number in range(1500))
    after = "".join(f"b{number}\n" for number in range(1500))
    hunk = hunk_between(before, after)
    assert hunk.lines[:1500] == [f"-a{number}" for number in range(1500)]
    assert (hunk.old_lines, hunk.new_lines) == (1500, 1500)


_LINES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12)


@given(_LINES, _LINES)
def test_the_hunk_turns_the_old_text_into_the_new(old: list[str], new: list[str]) -> None:
    """Applied as `patch` would: the header's numbers name the lines that the hunk holds."""
    if old == new:
        return
    hunk = hunk_between("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new))
    before = [line[1:] for line in hunk.lines if line[0] != "+"]
    after = [line[1:] for line in hunk.lines if line[0] != "-"]
    assert (len(before), len(after)) == (hunk.old_lines, hunk.new_lines)
    start = hunk.old_start - (hunk.old_lines > 0)
    assert old[start : start + len(before)] == before
    assert old[:start] + after + old[start + len(before) :] == new


def test_the_hunk_is_the_smallest_also_where_difflib_takes_a_longer_match() -> None:
    """difflib pairs the four `b` of the old text with the first four of the new one, and changes both ends."""
    assert hunk_between("a\nb\nb\nb\nb\n", "b\n" * 5) == Hunk(1, 4, 1, 4, ["-a", "+b", " b", " b", " b"])


_DIFFERENT_LINES = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=16, unique=True)


@given(_DIFFERENT_LINES, _DIFFERENT_LINES)
def test_the_header_agrees_with_difflib_when_there_is_one_hunk(old: list[str], new: list[str]) -> None:
    """With lines that repeat, difflib's need not be the smallest."""
    diff = list(difflib.unified_diff(old, new, lineterm=""))
    headers = [line for line in diff if line.startswith("@@")]
    if len(headers) != 1:
        return
    hunk = hunk_between("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new))
    sides = [
        f"{start},{count}" if count != 1 else f"{start}"
        for start, count in ((hunk.old_start, hunk.old_lines), (hunk.new_start, hunk.new_lines))
    ]
    assert f"@@ -{sides[0]} +{sides[1]} @@" == headers[0]
