"""The kernel's grace periods."""

from pathlib import Path

import pytest

from codecove.sandbox.grace import GracePeriods


def test_they_are_short_as_long_as_it_is_asked_for(tmp_path: Path) -> None:
    switch = tmp_path / "rcu_expedited"
    switch.write_text("0\n")
    periods = GracePeriods(switch)
    periods.shorten()
    assert switch.read_text() == "1"
    periods.restore()
    assert switch.read_text() == "0"
    switch.write_text("1")
    periods.restore()
    assert switch.read_text() == "1"


def test_what_somebody_else_has_shortened_stays_so(tmp_path: Path) -> None:
    switch = tmp_path / "rcu_expedited"
    switch.write_text("1\n")
    periods = GracePeriods(switch)
    periods.shorten()
    periods.restore()
    assert switch.read_text() == "1\n"


def test_a_machine_without_the_switch_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    periods = GracePeriods(tmp_path / "missing/rcu_expedited")
    with caplog.at_level("INFO"):
        periods.shorten()
    periods.restore()
    assert "slower" in caplog.text
