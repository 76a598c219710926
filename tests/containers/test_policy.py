from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.containers.policy import Expiry, due, sweep_interval

NOW = datetime(2026, 7, 30, tzinfo=UTC)
HOUR = Expiry(idle=timedelta(hours=1))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_it_expires_so_long_after_the_last_activity() -> None:
    assert HOUR.at(NOW) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(("seconds", "expected"), [(0, False), (3599.999, False), (3600, True), (1e6, True)])
def test_due_is_from_the_very_moment_on(seconds: float, expected: bool) -> None:
    assert HOUR.is_due(ago(seconds), NOW) is expected


@given(st.dictionaries(st.text(), st.floats(0, 7200)), st.sets(st.text()))
def test_what_is_due_and_in_nobodys_use_expires_and_nothing_else(idle: dict[str, float], leased: set[str]) -> None:
    last_active = [(container_id, ago(seconds)) for container_id, seconds in idle.items()]
    expired = due(last_active, leased=leased, expiry=HOUR, now=NOW)
    assert set(expired) == {id_ for id_, moment in last_active if HOUR.is_due(moment, NOW)} - leased


def test_the_reason_names_the_time() -> None:
    assert HOUR.reason == "no activity for 3600 seconds"


@given(st.floats(1, 1e8))
def test_a_container_outlives_its_time_by_at_most_a_tenth_and_half_a_minute(idle: float) -> None:
    interval = sweep_interval(Expiry(idle=timedelta(seconds=idle)))
    assert 0 < interval <= min(30, idle / 10 + 0.001)
