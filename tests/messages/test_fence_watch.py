"""Code blocks found in a text that arrives in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.messages.fence_watch import Begin, Code, End, FenceWatch, Piece, Text

ALL = frozenset({"python", "bash", "text_editor"})
Found = tuple[str, str | None, str, bool | None]
"""Text before, language, code, and whether the block was complete (None: there is none)."""


def watch(*pieces: str, cut: bool = False, languages: frozenset[str] = ALL) -> Found:
    watching = FenceWatch(languages)
    found: list[Piece] = []
    for piece in pieces:
        found += watching.feed(piece)
    found += watching.end(cut=cut)
    text = "".join(piece.text for piece in found if isinstance(piece, Text))
    code = "".join(piece.text for piece in found if isinstance(piece, Code))
    began = [piece.language for piece in found if isinstance(piece, Begin)]
    ended = [piece.complete for piece in found if isinstance(piece, End)]
    assert len(began) == len(ended) <= 1
    return text, began[0] if began else None, code, ended[0] if ended else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let me:\n```python\nprint(1)\n```\nDone.", ("Let me:\n", "python", "print(1)\n", True)),
        ("~~~sh\nls\n~~~\n", ("", "bash", "ls\n", True)),
        ("```text_editor\n{}\n```", ("", "text_editor", "{}\n", True)),
        ("``` Python title=x\n1\n```", ("", "python", "1\n", True)),
        ("1. Do\n   ```python\n   if 1:\n       2\n   ```\n", ("1. Do\n", "python", "if 1:\n    2\n", True)),
        ("```python\nprint('```')\n```", ("", "python", "print('```')\n", True)),
        ("````python\n```\n````", ("", "python", "```\n", True)),
        ("```python\n~~~\n```", ("", "python", "~~~\n", True)),
        ("```python\n\n\nprint(1)\n```", ("", "python", "print(1)\n", True)),
        ("```python\nprint(1)\n``` and\n```", ("", "python", "print(1)\n``` and\n", True)),
        ("```python\r\nprint(1)\r\n```\r\n", ("", "python", "print(1)\r\n", True)),
    ],
)
def test_the_first_runnable_block_is_found(text: str, expected: Found) -> None:
    assert watch(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "No code, only `a` and ``b`` and ~c~.\n",
        "```json\n{}\n```\n",
        "```\n```python\nprint(1)\n```\n",
        "```markdown\n~~~python\n1\n~~~\n```\nEnd.",
        "Say ```python print(1)``` like that.",
        "```python print(1)```\n",
        "```python\n\n```\nempty",
        "```python\n  ",
        "```pyt",
        "a\n``",
        "  \n\n",
    ],
)
def test_anything_else_is_text_as_it_came(text: str) -> None:
    assert watch(text) == (text, None, "", None)


def test_a_language_without_a_tool_is_text() -> None:
    text = "```bash\nls\n```\n```python\n1\n```"
    assert watch(text, languages=frozenset({"python"})) == ("```bash\nls\n```\n", "python", "1\n", True)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "readme = '''\n```python\n1\n```\n'''\n"),
        ("python", 'f"""\n```\n{1}\n"""\nx = """\n```\n"""\n'),
        ("bash", "cat > README.md <<'EOF'\n```sh\nls\n```\nEOF\nls\n"),
        ("bash", 'cat <<A <<-"B"\n```\nA\n```\n\tB\n'),
    ],
)
def test_a_fence_in_a_text_of_the_code_does_not_close_it(language: str, code: str) -> None:
    assert watch(f"```{language}\n{code}```\nDone.") == ("", language, code, True)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("language", "code"), [("python", "print('''hello)\n"), ("bash", "echo $((1<<x))\n"), ("python", "print((1)\n")]
)
def test_code_with_a_mistake_ends_at_its_fence_all_the_same(language: str, code: str, cut: bool) -> None:
    assert watch(f"```{language}\n{code}```\nThis prints.\n```\nSo it does.", cut=cut) == ("", language, code, True)


def test_a_block_that_is_never_closed_ends_with_the_text() -> None:
    assert watch("```bash\nls\npwd") == ("", "bash", "ls\npwd", True)
    assert watch("```bash\nls\npw", cut=True) == ("", "bash", "ls\npw", False)
    assert watch("```bash\ncat <<E\n```\nE\nl", cut=True) == ("", "bash", "cat <<E\n```\nE\nl", False)


def test_a_closing_fence_may_be_the_last_thing_before_the_cut() -> None:
    assert watch("```bash\nls\n```", cut=True) == ("", "bash", "ls\n", True)


def test_text_and_code_are_passed_on_at_once() -> None:
    watching = FenceWatch(ALL)
    assert watching.feed("Hel") == [Text("Hel")]
    assert watching.feed("lo\n``") == [Text("lo\n")]
    assert watching.feed("`bash\n") == []
    assert watching.feed("l") == [Begin("bash"), Code("l")]
    assert watching.feed("s\n``") == [Code("s\n")]
    assert watching.feed("`\n") == [End(complete=True)]
    assert watching.done
    assert watching.feed("more") == []


lines = st.sampled_from(
    [
        *("```python\n", "```bash\n", "```\n", "~~~\n", "````\n", "```json\n", "  ```\n", "\n", " \n", "text `a`\n"),
        *("print('''\n", "'''\n", "cat <<EOF\n", "EOF\n", "   x = 1\n", "``\n", "```python", "```", "x", "{\u2028\r\n"),
    ]
)


@given(st.lists(lines, max_size=12), st.data(), st.booleans())
def test_how_the_text_is_cut_into_pieces_makes_no_difference(parts: list[str], data: st.DataObject, cut: bool) -> None:
    text = "".join(parts)
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]
    whole = watch(text, cut=cut)
    assert watch(*pieces, cut=cut) == whole
    assert watch(*text, cut=cut) == whole
    if whole[1] is None:
        assert whole[0] == text
