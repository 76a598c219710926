"""The recipe of the default image: the files in `image/`, and the address that follows from their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from codecove.images.errors import ImageError

VERSION = 1
"""Raised when the build itself changes (`build.py`), so that the same lists make a new image."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The files that decide what the image holds, below one directory."""

    directory: Path

    @classmethod
    def find(cls) -> "Recipe":
        """The checkout's `image/`, or the copy inside an installed package. Raises `ImageError`."""
        here = Path(__file__).resolve()
        for candidate in (here.parent / "recipe", here.parents[3] / "image"):
            if (candidate / "debian.txt").is_file():
                return cls(candidate)
        raise ImageError("the image recipe is missing from this installation: reinstall codecove")

    @property
    def debian_list(self) -> Path:
        return self.directory / "debian.txt"

    @property
    def python_lock(self) -> Path:
        return self.directory / "python.txt"

    @property
    def python_list(self) -> Path:
        return self.directory / "python.in"

    @property
    def install_script(self) -> Path:
        return self.directory / "install.sh"

    @property
    def overlay(self) -> Path:
        """Laid over the root file system, before the install script runs."""
        return self.directory / "overlay"

    @property
    def checks(self) -> Path:
        return self.directory / "checks"

    def python_version(self) -> str:
        """The exact version wanted, such as `3.11.12`."""
        return (self.directory / "python-version").read_text().strip()

    def debian_packages(self) -> list[str]:
        """The names in the Debian list, without its comments."""
        lines = (line.split("#")[0].strip() for line in self.debian_list.read_text().splitlines())
        return [line for line in lines if line]

    def image_id(self) -> str:
        """16 hexadecimal digits of the SHA-256 over everything that decides what the image holds."""
        digest = hashlib.sha256(f"codecove image {VERSION} {self.python_version()}\n".encode())
        inputs = [self.debian_list, self.python_lock, self.install_script, *sorted(self.overlay.rglob("*"))]
        for path in inputs:
            if path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(self.directory)} {content}\n".encode())
        return digest.hexdigest()[:16]
