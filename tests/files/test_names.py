import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.files.names import MAX_LENGTH, cleaned, problem_with

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    "name",
    ["a", "data.csv", ".bashrc", "…", "资料 2026.xlsx", "Übersicht.pdf", "😀.png", "a" * 255, "a b", "-rf", "..."],
)
def test_allowed(name: str) -> None:
    assert problem_with(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "1 to 255 characters, not 0"),
        ("a" * 256, "1 to 255 characters, not 256"),
        (".", "name of a directory"),
        ("..", "name of a directory"),
        ("../../etc/passwd", "this one has /"),
        ("a\\b", "this one has"),
        ('<>:"|?*', "this one has"),
        ("a\nb", r"this one has \n"),
        ("a\0b", r"this one has \x00"),
        ("a\x7f", r"this one has \x7f"),
        ("a\x9b", r"this one has \x9b"),
        ("a\udcff", r"this one has \udcff"),
    ],
)
def test_refused_with_the_reason(name: str, reason: str) -> None:
    problem = problem_with(name)
    assert problem is not None
    assert reason in problem


@given(ANY_TEXT)
def test_a_cleaned_name_is_allowed(name: str) -> None:
    assert problem_with(cleaned(name)) is None


@given(ANY_TEXT)
def test_an_allowed_name_is_clean(name: str) -> None:
    if problem_with(name) is None:
        assert cleaned(name) == name


def test_a_long_name_keeps_its_suffix() -> None:
    name = cleaned("x" * 300 + ".csv")
    assert len(name) == MAX_LENGTH
    assert name.endswith("x.csv")
