"""Build the image of a recipe: Debian packages by mmdebstrap, wheels by pip, then the recipe's own script inside."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from codecove import clock
from codecove.images.errors import ImageError, ImageNotFound
from codecove.images.inside import command_apart, command_inside, run
from codecove.images.library import Image, Library
from codecove.images.manifest import describe
from codecove.images.python import PythonChoice, download_wheels, install_exact
from codecove.images.recipe import VERSION, Recipe
from codecove.images.sources import NoDebianSource, bookworm_sources

STEPS = 5
"""How often a build begins a step."""


class Report(Protocol):
    """Told how far a build is, in words for a person."""

    def step(self, words: str) -> None:
        """The next of the `STEPS` begins."""

    def line(self, text: str) -> None:
        """A program of this step has printed this."""


_SPACE_NEEDED = 5 * 10**9
_LOG_LINES = 25
_PLACE_INSIDE = "tmp/recipe"
"""The script empties `/tmp` at its end."""

# Documents and translations are never read inside. `man1` must be there: a package's script puts links in it.
_MMDEBSTRAP = (
    "mmdebstrap",
    "--variant=minbase",
    "--mode=root",
    "--format=directory",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
)
_APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::Force")


def build(library: Library, recipe: Recipe, report: Report, *, again: bool = False) -> Image:
    """The image of the recipe: the one that is there, or a new one (about two minutes, as root, with a network).

    `again` makes it anew, to take in Debian's updates. Raises `ImageError` with the last lines of what failed.
    """
    image_id = recipe.image_id()
    if not again and (found := _find(library, image_id)):
        return found
    _check_machine(library)
    with library.making() as place:
        # Another process may have made it while this one waited for its turn.
        if not again and (found := _find(library, image_id)):
            return found
        rootfs, log = place / "rootfs", place / "build.log"
        started = clock.now()
        try:
            python = _make(recipe, rootfs, log, report)
        except subprocess.CalledProcessError as error:
            raise ImageError(f"{error.cmd[0]} failed ({error.returncode}):\n{_tail(log)}") from error
        report.step("Writing the manifest")
        manifest = describe(
            rootfs,
            created=started,
            kind="built",
            seconds=round((clock.now() - started).total_seconds(), 1),
            python={"wanted": python.wanted, "got": python.got, "reason": python.reason},
            recipe={
                "version": VERSION,
                "debian_list_sha256": _sha256(recipe.debian_list),
                "python_lock_sha256": _sha256(recipe.python_lock),
            },
        )
        if again and (found := _find(library, image_id)):
            library.remove(found)
        return library.keep(place, image_id, manifest)


def _find(library: Library, image_id: str) -> Image | None:
    try:
        return library.resolve(image_id)
    except ImageNotFound:
        return None


def _check_machine(library: Library) -> None:
    if os.geteuid() != 0:
        raise ImageError("building an image needs root: run `sudo cove image build`")
    missing = [name for name in ("mmdebstrap", "unshare") if shutil.which(name) is None]
    if missing:
        raise ImageError(f"not installed: {', '.join(missing)} (on Debian: apt-get install mmdebstrap util-linux)")
    library.directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(library.directory).free
    if free < _SPACE_NEEDED:
        raise ImageError(f"{library.directory} has {free / 1e9:.1f} GB free, the build needs {_SPACE_NEEDED / 1e9:.0f}")


def _make(recipe: Recipe, rootfs: Path, log: Path, report: Report) -> PythonChoice:
    with tempfile.TemporaryDirectory(prefix="codecove-image-") as name:
        scratch = Path(name)
        report.step(f"Installing {len(recipe.debian_packages())} Debian packages and what they need")
        run(command_apart(_debian_command(recipe, rootfs, scratch)), log, report.line)
        report.step(f"Looking for Python {recipe.python_version()}")
        python = install_exact(rootfs, recipe.python_version(), scratch)
        report.step("Downloading the Python libraries")
        download_wheels(recipe.python_lock, scratch / "wheels", log, report.line)
        report.step("Installing them")
        place = rootfs / _PLACE_INSIDE
        place.mkdir()
        shutil.move(scratch / "wheels", place / "wheels")
        for file in (recipe.python_lock, recipe.install_script):
            shutil.copy(file, place / file.name)
        run(["cp", "--recursive", "--no-target-directory", str(recipe.overlay), str(rootfs)], log)
        script = f"/{_PLACE_INSIDE}/{recipe.install_script.name}"
        run(command_inside(rootfs, ["/bin/sh", script, f"/{_PLACE_INSIDE}/wheels"]), log, report.line)
    return python


def _debian_command(recipe: Recipe, rootfs: Path, scratch: Path) -> list[str]:
    sources = scratch / "debian.sources"
    try:
        sources.write_text(bookworm_sources())
    except NoDebianSource as error:
        raise ImageError(str(error)) from error
    options = scratch / "apt.conf"
    options.write_text(_apt_options())
    packages = ",".join(recipe.debian_packages())
    return [*_MMDEBSTRAP, f"--aptopt={options}", f"--include={packages}", "bookworm", str(rootfs), str(sources)]


def _apt_options() -> str:
    """How the machine's apt reaches its mirror: proxies, certificates, patience."""
    dump = subprocess.check_output(["/usr/bin/apt-config", "dump"], text=True)
    return "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(_APT_OPTIONS))


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
