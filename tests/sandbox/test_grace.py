"""The kernel's grace periods."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codecove.sandbox.grace import GracePeriods

SERVER = """
import sys, pathlib
from codecove.sandbox.grace import GracePeriods
GracePeriods(*map(pathlib.Path, sys.argv[1:])).shorten()
print("short", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    path = tmp_path / "rcu_expedited"
    path.write_text("0\n")
    return path


def test_they_are_short_as_long_as_it_is_asked_for(switch: Path, tmp_path: Path) -> None:
    for _ in range(2):
        periods = GracePeriods(switch, tmp_path / "found")
        periods.shorten()
        assert switch.read_text() == "1"
        periods.restore()
        assert switch.read_text() == "0"
    switch.write_text("1")
    periods.restore()
    assert switch.read_text() == "1"


def test_the_last_of_several_servers_sets_them_back(switch: Path, tmp_path: Path) -> None:
    first, second, third = servers = [GracePeriods(switch, tmp_path / "found") for _ in range(3)]
    first.shorten()
    second.shorten()
    first.restore()
    third.shorten()
    second.restore()
    assert switch.read_text() == "1"
    third.restore()
    assert switch.read_text() == "0"
    for server in servers:
        server.restore()
    assert switch.read_text() == "0"


def test_the_next_server_sets_them_back_after_one_that_was_killed(switch: Path, tmp_path: Path) -> None:
    files = (switch, tmp_path / "found")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, *map(str, files)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"short\n"
        os.kill(killed.pid, signal.SIGKILL)
    assert switch.read_text() == "1"
    periods = GracePeriods(*files)
    periods.shorten()
    assert switch.read_text() == "1"
    periods.restore()
    assert switch.read_text() == "0"


def test_nobody_else_may_lock_the_file(switch: Path, tmp_path: Path) -> None:
    periods = GracePeriods(switch, tmp_path / "found")
    periods.shorten()
    assert (tmp_path / "found").stat().st_mode & 0o777 == 0o600
    periods.restore()


def test_what_somebody_else_has_shortened_stays_so(switch: Path, tmp_path: Path) -> None:
    switch.write_text("1\n")
    periods = GracePeriods(switch, tmp_path / "found")
    periods.shorten()
    periods.restore()
    assert switch.read_text() == "1\n"


@pytest.mark.parametrize("missing", ["switch", "found"])
def test_a_machine_without_the_switch_is_no_error(
    switch: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    files = {"switch": switch, "found": tmp_path / "found", missing: tmp_path / "missing/file"}
    periods = GracePeriods(**files)
    with caplog.at_level("INFO"):
        periods.shorten()
    assert switch.read_text() == "0\n"
    periods.restore()
    assert switch.read_text() == "0\n"
    assert "slower" in caplog.text


def test_a_switch_that_can_not_be_set_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As on a machine where sysfs is read-only; also root can't write to this file, which can be read."""
    (tmp_path / "found").write_text("0")
    periods = GracePeriods(Path("/proc/self/stat"), tmp_path / "found")
    with caplog.at_level("INFO"):
        periods.shorten()
    periods.restore()
    assert "slower" in caplog.text
    assert (tmp_path / "found").read_text() == ""
