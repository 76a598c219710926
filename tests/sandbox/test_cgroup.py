"""Control groups of version 2, on a real hierarchy: also one that has just a controller that nothing else needs."""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecove.sandbox import cgroup

ROOTS = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]


@pytest.fixture
def controller() -> Iterator[str]:
    """One that groups below the topmost have."""
    for root in ROOTS:
        with contextlib.suppress(OSError):
            available = (root / "cgroup.controllers").read_text().split()
            name = next(name for name in ("hugetlb", "pids") if name in available)
            before = (root / "cgroup.subtree_control").read_text().split()
            (root / "cgroup.subtree_control").write_text(f"+{name}")
            yield name
            if name not in before:
                (root / "cgroup.subtree_control").write_text(f"-{name}")
            return
    pytest.skip("no control groups of version 2 with a controller, or no right to use them")


@pytest.fixture
def container(controller: str) -> Iterator[Path]:
    """What would be the topmost group in a container: one with a process in it."""
    root = next(root for root in ROOTS if (root / "cgroup.controllers").exists())
    group = root / f"test-{secrets.token_hex(4)}"
    group.mkdir()
    with subprocess.Popen(["sleep", "60"]) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        try:
            yield group
        finally:
            process.kill()
            process.wait()
            for path in sorted([group, *group.glob("**/")], reverse=True):
                with contextlib.suppress(FileNotFoundError):
                    path.rmdir()


def test_a_group_with_processes_hands_nothing_down(container: Path, controller: str) -> None:
    with pytest.raises(OSError, match="busy"):
        (container / "cgroup.subtree_control").write_text(f"+{controller}")


def test_in_a_container_its_processes_are_moved_aside_first(container: Path, controller: str) -> None:
    (pid,) = (container / "cgroup.procs").read_text().split()
    for name in ("one", "two"):
        cgroup.hand_down(container, Path("codecove-x", name), [controller])
    assert (container / "cgroup.procs").read_text() == ""
    assert (container / "codecove-aside/cgroup.procs").read_text().split() == [pid]
    assert controller in (container / "codecove-x/two/cgroup.controllers").read_text().split()
    # A container's own group takes processes.
    (container / "codecove-x/two/cgroup.procs").write_text(pid)


def test_a_controller_that_is_missing_is_named(container: Path) -> None:
    with pytest.raises(OSError, match="no controllers nothing"):
        cgroup.hand_down(container, Path("x"), ["nothing"])
    assert not (container / "x").exists()
