"""Python inside an image: the exact version where it can be had, and the locked libraries as wheels."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codecove.images.errors import ImageError
from codecove.images.inside import path_inside, run

_UV_SECONDS = 90
_UV_ENVIRONMENT = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "0", "UV_NO_PROGRESS": "1"}
_NEWEST_GLIBC = 36
"""Debian 12 has glibc 2.36."""


@dataclass(frozen=True, slots=True)
class PythonChoice:
    """Which Python an image has, and why that one."""

    wanted: str
    got: str
    reason: str


def install_exact(rootfs: Path, version: str, scratch: Path) -> PythonChoice:
    """Put that version into `/usr/local` of the image by `uv python install`; Debian's serves where uv can't."""
    uv = _find_uv()
    if uv is None:
        return PythonChoice(version, _debian_version(rootfs), "uv, which fetches exact versions, is not installed")
    place = scratch / "python"
    command = [uv, "python", "install", version, "--install-dir", str(place), "--no-bin", "--no-config"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), **_UV_ENVIRONMENT}
    try:
        subprocess.run(  # noqa: S603 - uv, with the version in our recipe
            command, check=True, capture_output=True, text=True, timeout=_UV_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        return PythonChoice(version, _debian_version(rootfs), f"uv did not finish in {_UV_SECONDS} s")
    except subprocess.CalledProcessError as error:
        # The last line is the innermost cause; the lines before name hosts, which say nothing more.
        cause = (str(error.stderr).strip().splitlines() or ["no message"])[-1].strip().removeprefix("cause: ")
        return PythonChoice(version, _debian_version(rootfs), f"uv could not fetch it: {cause}")
    found = next(place.glob(f"cpython-{version}-*/bin/python3"))
    adopt(found.parents[1], rootfs)
    return PythonChoice(version, version, "fetched by uv")


def adopt(tree: Path, rootfs: Path) -> None:
    """Make a relocatable Python (`bin`, `lib` …) the `python3` of the image, before Debian's."""
    shutil.copytree(tree, rootfs / "usr/local", symlinks=True, dirs_exist_ok=True)


def download_wheels(lock: Path, target: Path, log: Path, said: Callable[[str], None]) -> None:
    """Every package of the lock as a wheel for the image, checked against its hash; the machine's pip settings apply.

    pip is told the image's platform, so that the Python that runs codecove need not be the image's.
    """
    if find_spec("pip") is None:
        raise ImageError(f"{sys.executable} has no pip, which fetches the image's libraries: install pip into it")
    target_options = ["--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=abi3", "--abi=none"]
    platforms = [f"--platform={tag}" for tag in platform_tags(platform.machine())]
    exact = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    pip = [sys.executable, "-m", "pip", "download"]
    quiet = ["--progress-bar=off", "--disable-pip-version-check"]
    run([*pip, *quiet, *exact, *target_options, *platforms, "-d", str(target), "-r", str(lock)], log, said)


def platform_tags(machine: str) -> Iterator[str]:
    """Tags of the wheels that run on Debian 12, the newest first (PEP 600, and the names before it)."""
    for minor in range(_NEWEST_GLIBC, 4, -1):
        yield f"manylinux_2_{minor}_{machine}"
    for name in ("manylinux2014", "manylinux2010", "manylinux1"):
        yield f"{name}_{machine}"


def _find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def _debian_version(rootfs: Path) -> str:
    """Debian's patch release, from its package's version: `3.11.2-6+deb12u6` is 3.11.2."""
    status = path_inside(rootfs, "/var/lib/dpkg/status").read_text(errors="replace")
    _, _, after = status.partition("\nPackage: python3.11\n")
    version = after.partition("\nVersion: ")[2].partition("\n")[0]
    return version.partition("-")[0]
