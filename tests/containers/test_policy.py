from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.containers.policy import Expiry, Times, due, sweep_interval

NOW = datetime(2026, 7, 30, tzinfo=UTC)
MONTH = timedelta(days=30)
HOUR = Expiry(idle=timedelta(hours=1), age=MONTH)
FROM_CREATION = Expiry(idle=None, age=timedelta(hours=1))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def idle_for(seconds: float) -> Times:
    return Times(created_at=ago(seconds), last_active_at=ago(seconds))


def test_it_expires_so_long_after_the_last_activity() -> None:
    assert HOUR.at(Times(ago(7200), NOW)) == NOW + timedelta(hours=1)


def test_it_expires_so_long_after_its_creation_at_the_latest() -> None:
    assert HOUR.at(Times(NOW - MONTH + timedelta(minutes=1), NOW)) == NOW + timedelta(minutes=1)
    assert FROM_CREATION.at(Times(ago(3000), NOW)) == NOW + timedelta(seconds=600)


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(1, 1e7), st.floats(1, 1e7))
def test_the_age_and_the_inactivity_are_both_limits(created: float, active: float, idle: float, age: float) -> None:
    times = Times(ago(max(created, active)), ago(min(created, active)))
    policy = Expiry(idle=timedelta(seconds=idle), age=timedelta(seconds=age))
    expected = times.last_active_at <= NOW - timedelta(seconds=idle) or times.created_at <= NOW - timedelta(seconds=age)
    assert policy.is_due(times, NOW) is expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, False), (3599.999, False), (3600, True), (1e6, True)])
def test_due_is_from_the_very_moment_on(seconds: float, expected: bool) -> None:
    assert HOUR.is_due(idle_for(seconds), NOW) is expected


@given(st.dictionaries(st.text(), st.floats(0, 7200)), st.sets(st.text()))
def test_what_is_due_and_in_nobodys_use_expires_and_nothing_else(idle: dict[str, float], leased: set[str]) -> None:
    last_active = [(container_id, idle_for(seconds)) for container_id, seconds in idle.items()]
    expired = due(last_active, leased=leased, expiry=HOUR, now=NOW)
    assert set(expired) == {id_ for id_, moment in last_active if HOUR.is_due(moment, NOW)} - leased


def test_the_reason_names_the_time() -> None:
    assert HOUR.reason(idle_for(3600)) == "no activity for 3600 seconds"
    assert HOUR.reason(Times(NOW - MONTH, NOW)) == "created 2592000 seconds ago"
    assert FROM_CREATION.reason(idle_for(3600)) == "created 3600 seconds ago"


@given(st.floats(1, 1e8))
def test_a_container_outlives_its_time_by_at_most_a_tenth_and_half_a_minute(idle: float) -> None:
    interval = sweep_interval(Expiry(idle=timedelta(seconds=idle), age=MONTH))
    assert 0 < interval <= min(30, idle / 10 + 0.001)
