"""Which state may follow which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox.lifecycle import ImpossibleTransition, Lifecycle, State, Transition


def begun() -> Lifecycle:
    return Lifecycle(Transition(State.CREATING, "asked for", 0.0))


def test_a_usual_life() -> None:
    life = begun()
    for moment, state in enumerate(("idle", "busy", "idle", "frozen", "busy", "idle", "deleted"), start=1):
        life.go(State(state), f"step {moment}", moment)
    assert life.last == Transition(State.DELETED, "step 7", 7)


def test_a_sleep_and_a_wake() -> None:
    life = begun()
    for state in ("idle", "frozen", "sleeping", "asleep", "waking", "asleep", "waking", "idle", "busy"):
        life.go(State(state), "", 1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [("frozen", "idle"), ("busy", "frozen"), ("busy", "sleeping"), ("asleep", "busy"), ("idle", "creating")],
)
def test_shortcuts_are_refused(before: str, after: str) -> None:
    life = Lifecycle(Transition(State(before), "", 0.0))
    with pytest.raises(ImpossibleTransition, match=f"from {before} to {after}"):
        life.go(State(after), "", 1.0)
    assert life.state == before


@given(st.lists(st.sampled_from(State), max_size=30))
def test_what_is_over_stays_over(wanted: list[State]) -> None:
    life = begun()
    over = False
    for moment, state in enumerate(wanted):
        try:
            life.go(state, "", moment)
        except ImpossibleTransition:
            continue
        assert not over or state is State.DELETED
        over = life.is_over
