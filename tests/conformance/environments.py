"""Environments of the clients under test, each made once from its lock in clients/locks, by pip or npm."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"
_LOCKS = CLIENTS / "locks"
_CACHE = Path(__file__).parents[2] / ".cache" / "clients"


def python_environment(name: str) -> Path:
    """The interpreter of an environment with the packages of `locks/<name>.txt`."""
    lock = _LOCKS / f"{name}.txt"

    def make(directory: Path) -> None:
        venv.create(directory, with_pip=False)
        # Our own pip does it: to install another takes longer than most clients. What is imported is compiled then.
        pip = [sys.executable, "-m", "pip", "--python", str(directory), "install", "--quiet", "--no-compile"]
        run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)])

    return _once(name, lock, make) / "bin" / "python"


def node_environment(name: str) -> Path:
    """A directory with the packages of `locks/<name>/package-lock.json`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail("node and npm are needed for the clients in TypeScript: run `make setup-tests`", pytrace=False)
    lock = _LOCKS / name / "package-lock.json"

    def make(directory: Path) -> None:
        for file in (lock, lock.with_name("package.json")):
            shutil.copy(file, directory)
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=directory)

    return _once(name, lock, make)


def clean_environment() -> dict[str, str]:
    """An environment without anybody's settings but those that installers need."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVE_", "PYTHON"))}


def run(command: list[str], *, cwd: Path | None = None) -> str:
    """A command's output."""
    done = subprocess.run(
        command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _once(name: str, lock: Path, make: Callable[[Path], None]) -> Path:
    """The directory of an environment; made now if it is not there yet, and again if it was made halfway."""
    directory = _CACHE / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    done = directory / ".complete"
    _CACHE.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes at once.
    with (_CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            done.touch()
    return directory
