"""Paths of a root file system never lead out of it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from codecove.images.inside import path_inside, run
from tests.support.ordinary import OrdinaryUser, why_not


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


@pytest.mark.sandbox
def test_what_runs_inside_has_devices_where_none_can_be_made(image: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="codecove-ordinary-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        if reason := why_not(directory, [Path(sys.executable), Path(__file__), image / "bin/sh"]):
            pytest.skip(reason)
        user = OrdinaryUser(directory / "user")
        namespace = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount"]
        done = user.run([*namespace, sys.executable, "-c", _INSIDE, str(image)], environment={})
    assert done.returncode == 0, done.stderr


_INSIDE = """
import subprocess, sys
from pathlib import Path
from codecove.images.inside import command_inside

root = Path("root")
for name in ("root", "changed/upper", "changed/work"):
    Path(name).mkdir(parents=True)
layers = f"userxattr,lowerdir={sys.argv[1]},upperdir=changed/upper,workdir=changed/work"
subprocess.run(["mount", "-t", "overlay", "-o", layers, "layer", "root"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "empty", "root/dev"], check=True)
count = ["sh", "-c", "id -u; head -c 4 /dev/zero | wc -c"]
said = subprocess.check_output(command_inside(root.absolute(), count))
assert said.split() == [b"0", b"4"], said
subprocess.run(command_inside(root.absolute(), ["setpriv", "--reuid=1000", "sh", "-c", "echo > /dev/null"]), check=True)
"""
