"""scripts/setup.sh where it can't go on: it stops before it changes anything, and says what to do."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# fmt: off
COMMANDS = [
    "bash", "cat", "dirname", "echo", "env", "flock", "grep", "head", "id", "ls", "mkdir", "mktemp", "mount",
    "sha256sum", "sh", "tail", "uname", "unshare", "xargs", "zstd",
]
# fmt: on

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="set-up is for root")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up reads, and no more."""
    directory = tmp_path / "checkout"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, directory / name)
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A directory of programs without those that set-up installs."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for command in COMMANDS:
        found = shutil.which(command)
        assert found
        (directory / command).symlink_to(found)
    return directory


@pytest.fixture
def elsewhere(tmp_path: Path) -> list[str]:
    """Begins a command line that sees another distribution."""
    release = tmp_path / "os-release"
    release.write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {release} /etc/os-release && exec "$0"']


def setup(checkout: Path, *, prefix: Sequence[str] = (), path: str = os.environ["PATH"]) -> tuple[int, str]:
    done = subprocess.run(
        [*prefix, str(checkout / "scripts/setup.sh")],
        env={"PATH": path, "HOME": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_without_root_it_says_what_root_has_to_install(checkout: Path, bare: Path) -> None:
    checkout.parent.chmod(0o755)
    code, told = setup(checkout, prefix=["unshare", "--user", "--map-user=1000"], path=str(bare))
    assert code == 1
    assert "root has to install what is missing here: " in told
    for package in ("gcc", "mmdebstrap", "uidmap", "runsc (of 20240729 or newer)"):
        assert package in told
    assert not (checkout / ".cache").exists()


def test_another_distribution_is_told_what_to_install(checkout: Path, bare: Path, elsewhere: list[str]) -> None:
    code, told = setup(checkout, prefix=elsewhere, path=str(bare))
    assert code == 1
    assert "on Debian 12 only" in told
    for package in ("gcc", "crun", "mmdebstrap", "runsc (of 20240729 or newer)"):
        assert package in told
    assert not (checkout / ".venv").exists()


def test_an_old_runsc_counts_as_missing(checkout: Path, bare: Path, elsewhere: list[str]) -> None:
    old = bare / "runsc"
    old.write_text("#!/bin/sh\necho runsc version 0.0~20221219.0\n")
    old.chmod(0o755)
    _, told = setup(checkout, prefix=elsewhere, path=str(bare))
    assert "runsc (of 20240729 or newer)" in told


def test_an_unknown_option_is_refused(checkout: Path) -> None:
    code, told = setup(checkout, prefix=["sh", "-c", '"$0" --nonsense'])
    assert code == 1
    assert "usage" in told
