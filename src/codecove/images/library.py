"""The images of this machine: one directory, shared by all servers, each image under the address of its content.

<directory>/<id>/rootfs/          the root file system, never written to once it is here
<directory>/<id>/manifest.json    what is in it
<directory>/names/<name>          a file holding the id of an imported image
<directory>/.new-*                an image being made; whoever takes the lock next removes what a crash left
"""

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from codecove.images.errors import ImageError, ImageNotFound
from codecove.images.recipe import Recipe

DEFAULT = "default"
"""The name of the image that the current lists make."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Image:
    """One image; `name` is None for a built one whose lists have changed since."""

    id: str
    name: str | None
    rootfs: Path
    manifest: dict[str, Any]


class Library:
    """The images below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def list(self) -> list[Image]:
        """Every image, the newest first."""
        if not self.directory.is_dir():
            return []
        names = self._names()
        images = [
            self._load(path.name, names)
            for path in self.directory.iterdir()
            if _ID.fullmatch(path.name) and (path / "manifest.json").is_file()
        ]
        return sorted(images, key=lambda image: str(image.manifest.get("created")), reverse=True)

    def resolve(self, name_or_id: str = DEFAULT) -> Image:
        """The image of that name or id. Raises `ImageNotFound`, which says how to make it."""
        names = self._names()
        image_id = names.get(name_or_id, name_or_id)
        if _ID.fullmatch(image_id) and (self.directory / image_id / "manifest.json").is_file():
            return self._load(image_id, names)
        if name_or_id == DEFAULT:
            raise ImageNotFound(f"the sandbox image is not built yet in {self.directory}: run `cove image build`")
        known = ", ".join(sorted(names))
        raise ImageNotFound(
            f"no image {name_or_id!r} in {self.directory} (names: {known}): run `cove image list`, "
            f"or bring one in with `cove image import ROOTFS.tar --name NAME`"
        )

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A new directory to make an image in, while no other process makes one. What is not kept is removed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.directory.glob(".new-*"):
                shutil.rmtree(left)
            place = Path(mkdtemp(prefix=".new-", dir=self.directory))
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def keep(self, place: Path, image_id: str, manifest: dict[str, Any], *, name: str | None = None) -> Image:
        """Take what was made at `place` (its `rootfs`) into the library under that id, all at once."""
        (place / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        place.chmod(0o755)
        target = self.directory / image_id
        if not target.exists():
            place.rename(target)
        if name is not None:
            self._set_name(name, image_id)
        return self.resolve(image_id)

    def remove(self, image: Image) -> None:
        """Delete an image and the names that lead to it. The caller makes sure that no server uses it."""
        for name, image_id in self._names().items():
            if image_id == image.id and name != DEFAULT:
                (self.directory / "names" / name).unlink()
        shutil.rmtree(self.directory / image.id)

    def check_name(self, name: str) -> None:
        """Raises `ImageError` for a name that an imported image can't have."""
        if name == DEFAULT or _ID.fullmatch(name) or not _NAME.fullmatch(name):
            raise ImageError(
                f"{name!r} can't be the name of an image: up to 64 lower-case letters, digits, '.', '_' and '-'; "
                f"{DEFAULT!r} is the built one"
            )

    def _set_name(self, name: str, image_id: str) -> None:
        self.check_name(name)
        names = self.directory / "names"
        names.mkdir(exist_ok=True)
        new = names / f".{name}.new"
        new.write_text(image_id)
        new.rename(names / name)

    def _names(self) -> dict[str, str]:
        """From each name to its id; `default` is that of the current lists, built or not."""
        files = (self.directory / "names").glob("[!.]*")
        return {file.name: file.read_text().strip() for file in files} | {DEFAULT: Recipe.find().image_id()}

    def _load(self, image_id: str, names: dict[str, str]) -> Image:
        place = self.directory / image_id
        name = next((name for name, named in names.items() if named == image_id), None)
        return Image(image_id, name, place / "rootfs", json.loads((place / "manifest.json").read_text()))
