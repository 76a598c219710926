"""The machine: Python, the system, the user, control groups, loop devices, room on disk."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from codecove import privileges
from codecove.doctor.finding import Finding, bad, good, warning
from codecove.settings import Settings

_CONTROLLERS = {"memory", "cpu", "pids"}
_LITTLE_SPACE = 5 * 2**30
"""Bytes: one container may fill as much, and an image is about 2 GiB."""


def check(settings: Settings) -> Iterator[Finding]:
    """Everything that can be said without starting anything."""
    yield good("python", f"{platform.python_version()} ({sys.executable})")
    yield _system()
    yield _user()
    if not privileges.in_user_namespace():
        yield _cgroups(Path("/sys/fs/cgroup"))
        yield _loop_devices()
    yield _space("data directory", settings.data_dir)
    yield _images(settings.image_dir)


def _system() -> Finding:
    found = f"{_distribution()}, Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs"
    if platform.system() != "Linux":
        return bad("system", platform.platform(), "Containers need Linux: run the server on a Linux machine.")
    if platform.machine() != "x86_64":
        return warning("system", found, "Images are built and tested for x86-64 only.")
    return good("system", found)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")
    except OSError:
        return "unknown distribution"


def _user() -> Finding:
    if privileges.in_user_namespace():
        found = "rootless, root of a user namespace: no control groups, loop devices or settings of the kernel"
        return warning("user", found, 'Some limits are weaker: docs/operating.md, "Without root".')
    if os.geteuid() == 0:
        return good("user", "root, which mounts and control groups need")
    return bad("user", f"user id {os.geteuid()}", "Mounting a container's disk needs root: start the server as root.")


def _cgroups(root: Path) -> Finding:
    try:
        controllers = set((root / "cgroup.controllers").read_text(encoding="ascii").split())
        version = 2
    except OSError:
        controllers = {entry.name for entry in root.iterdir() if entry.is_dir()} if root.is_dir() else set()
        version = 1
    missing = sorted(_CONTROLLERS - controllers)
    if missing:
        remedy = "Enable these controllers (kernel command line, or the delegation of the service or container)."
        return bad("cgroups", f"version {version}, without {', '.join(missing)}", remedy)
    if not os.access(root if version == 2 else root / "memory", os.W_OK):
        return bad("cgroups", f"version {version}, read-only", "Mount /sys/fs/cgroup writable for the server.")
    return good("cgroups", f"version {version} with {', '.join(sorted(_CONTROLLERS))}")


def _loop_devices() -> Finding:
    control = Path("/dev/loop-control")
    try:
        os.close(os.open(control, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        remedy = "Load the `loop` module (modprobe loop); inside a container, pass /dev/loop-control and loop devices."
        return bad("loop devices", f"{control}: {error.strerror}", remedy)
    return good("loop devices", "available")


def _images(directory: Path) -> Finding:
    if privileges.in_user_namespace() and directory.is_dir() and not os.access(directory, os.W_OK):
        remedy = "They can be used; in the user's own, made by `cove image build`, more of the home directory works."
        return warning("image directory", f"{directory}: another user's images", remedy)
    return _space("image directory", directory)


def _space(part: str, directory: Path) -> Finding:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    found = f"{directory}: {free / 2**30:.1f} GiB free"
    if not os.access(existing, os.W_OK):
        return bad(part, f"{directory}: not writable", "Choose another place, or give the server's user access to it.")
    if free < _LITTLE_SPACE:
        return warning(part, found, "Make room: containers and images are stored there.")
    return good(part, found)
