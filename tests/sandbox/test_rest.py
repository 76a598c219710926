"""Which containers go to sleep."""

from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox import rest

IDLE = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1000))


@given(IDLE, st.floats(0, 2000), st.floats(0.1, 500))
def test_those_sleep_that_have_been_idle_long_enough_the_longest_first(
    idle: dict[str, float], now: float, patience: float
) -> None:
    due = rest.due(idle, now=now, patience=patience)
    assert set(due) == {name for name in idle if now - idle[name] >= patience}
    assert [idle[name] for name in due] == sorted(idle[name] for name in due)


@given(IDLE, st.floats(0, 2000))
def test_without_patience_none_sleeps(idle: dict[str, float], now: float) -> None:
    assert rest.due(idle, now=now, patience=None) == []


@given(IDLE)
def test_room_is_made_by_the_one_that_has_been_idle_longest(idle: dict[str, float]) -> None:
    longest = rest.longest_idle(idle)
    assert (longest is None) == (not idle)
    assert longest is None or idle[longest] == min(idle.values())


@given(st.floats(0.1, 1e6))
def test_a_look_is_never_late_by_more_than_a_tenth_or_ten_seconds(patience: float) -> None:
    assert 0.05 <= rest.interval(patience) <= max(0.05, min(10, patience / 10))
