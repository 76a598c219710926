"""The manifest of an image: what is in it, read from the root file system itself."""

import importlib.metadata
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from codecove.images.inside import everything, path_inside


def describe(rootfs: Path, *, created: datetime, kind: str, **more: Any) -> dict[str, Any]:
    """`created` (ISO 8601), `kind`, `size_bytes` (on disk), all packages with their versions, and what is given."""
    return {
        "created": created.isoformat(timespec="seconds"),
        "kind": kind,
        "size_bytes": _size(rootfs),
        **more,
        "python_packages": _python_packages(rootfs),
        "debian_packages": _debian_packages(rootfs),
    }


def _size(rootfs: Path) -> int:
    """What the tree takes on disk; a file with several names counts once."""
    seen: set[int] = set()
    total = 0
    for path in everything(rootfs):
        status = path.lstat()
        if status.st_ino not in seen:
            seen.add(status.st_ino)
            total += status.st_blocks * 512
    return total


def _debian_packages(rootfs: Path) -> dict[str, str]:
    status = path_inside(rootfs, "/var/lib/dpkg/status")
    if not status.is_file():
        return {}
    packages = {}
    for paragraph in status.read_text(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            packages[fields["Package"]] = fields["Version"]
    return dict(sorted(packages.items()))


def _python_packages(rootfs: Path) -> dict[str, str]:
    places = [
        str(place)
        for pattern in ("usr/local/lib/python3*/*-packages", "usr/lib/python3*/*-packages")
        for place in rootfs.glob(pattern)
        if place.resolve().is_relative_to(rootfs.resolve())
    ]
    found = {found.name: found.version for found in importlib.metadata.distributions(path=places)}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
