"""Paths of a root file system never lead out of it."""

import subprocess
from pathlib import Path

import pytest

from codecove.images.inside import path_inside, run


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/dash").touch()
    return root


def test_a_relative_link_is_followed(rootfs: Path) -> None:
    (rootfs / "bin").symlink_to("usr/bin")
    (rootfs / "usr/bin/sh").symlink_to("dash")
    assert path_inside(rootfs, "/bin/sh") == rootfs / "usr/bin/dash"


def test_an_absolute_link_stays_inside(rootfs: Path) -> None:
    (rootfs / "sh").symlink_to("/usr/bin/dash")
    assert path_inside(rootfs, "/sh") == rootfs / "usr/bin/dash"


@pytest.mark.parametrize("path", ["../../etc/passwd", "/usr/../../../etc/passwd"])
def test_parents_end_at_the_root(rootfs: Path, path: str) -> None:
    assert path_inside(rootfs, path) == rootfs / "etc/passwd"


def test_a_link_to_the_parents_ends_at_the_root(rootfs: Path) -> None:
    (rootfs / "usr/out").symlink_to("../../../../etc")
    assert path_inside(rootfs, "/usr/out/passwd") == rootfs / "etc/passwd"


def test_a_loop_of_links_is_an_error(rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b")
    (rootfs / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many symbolic links"):
        path_inside(rootfs, "/a")


def test_what_a_program_prints_is_told_line_by_line_and_logged(tmp_path: Path) -> None:
    log, said = tmp_path / "log", list[str]()
    run(["sh", "-c", "echo one; echo two >&2"], log, said.append)
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        run(["sh", "-c", "echo three; exit 3"], log, said.append)
    assert said == ["one", "two", "three"]
    assert log.read_text() == "one\ntwo\nthree\n"
