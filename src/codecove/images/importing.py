"""Take any root file system, from a tar archive, as an image."""

import hashlib
import os
import stat
import subprocess
import tarfile
from pathlib import Path

from codecove import clock
from codecove.images.errors import ImageError
from codecove.images.inside import everything, path_inside, run
from codecove.images.library import Image, Library
from codecove.images.manifest import describe

_EXPECTED = {
    "/bin/bash": "the bash tool of code_execution_20250825 runs its commands by it",
    "/usr/bin/env": "scripts name their interpreter by it",
    "python3": "code_execution_20250522 runs Python by it",
}
_SEARCHED = ("/usr/local/bin", "/usr/bin", "/bin")


def import_archive(library: Library, archive: Path, name: str) -> tuple[Image, list[str]]:
    """The image of a tar archive under that name, and what it lacks, as sentences.

    The archive may be compressed, by gzip, zstd or what else the machine's tar reads.

    What such an archive could do to this machine is kept out: members that lead outside, devices, set-user-id bits.
    Raises `ImageError`.
    """
    library.check_name(name)
    if os.geteuid() != 0:
        raise ImageError("importing an image needs root, for the files' owners: run it with sudo")
    if not archive.is_file():
        raise ImageError(f"{archive} is not a file")
    _refuse_layers(archive)
    with library.making() as place:
        rootfs, log = place / "rootfs", place / "import.log"
        rootfs.mkdir()
        # GNU tar never follows a link that the archive itself made, and drops leading `/` and `..` of names.
        options = ["--numeric-owner", "--same-owner", "--preserve-permissions", "--delay-directory-restore"]
        try:
            run(["tar", "--extract", f"--file={archive}", f"--directory={rootfs}", *options], log)
        except subprocess.CalledProcessError as error:
            raise ImageError(f"tar could not unpack {archive}:\n{log.read_text(errors='replace')[-2000:]}") from error
        log.unlink()
        if not _program(rootfs, "/bin/sh"):
            inside = ", ".join(sorted(path.name for path in rootfs.iterdir())[:10]) or "nothing"
            raise ImageError(f"{archive} holds no root file system: there is no program /bin/sh (but {inside})")
        _make_harmless(rootfs)
        missing = [f"{program} is missing: {use}" for program, use in _EXPECTED.items() if not _found(rootfs, program)]
        manifest = describe(rootfs, created=clock.now(), kind="imported", source=archive.name, missing=missing)
        return library.keep(place, _digest(archive), manifest, name=name), missing


def _refuse_layers(archive: Path) -> None:
    """An archive of `docker save` holds layers, not a file system."""
    try:
        with tarfile.open(archive) as members:
            names = {member.name for member, _ in zip(members, range(50), strict=False)}
    except tarfile.TarError:
        return  # zstd, which this Python can't read, or no archive at all: tar will say
    if "manifest.json" in names or "index.json" in names:
        raise ImageError(f"{archive} was made by `docker save`; export a container instead: `docker export CONTAINER`")


def _program(rootfs: Path, path: str) -> bool:
    try:
        found = path_inside(rootfs, path)
    except OSError:
        return False
    return found.is_file() and os.access(found, os.X_OK)


def _found(rootfs: Path, program: str) -> bool:
    places = [program] if program.startswith("/") else [f"{directory}/{program}" for directory in _SEARCHED]
    return any(_program(rootfs, place) for place in places)


def _make_harmless(rootfs: Path) -> None:
    """Remove devices, and the bits that would let a program change its user."""
    for path in everything(rootfs):
        mode = path.lstat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            path.unlink()
        elif stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & 0o1777)


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
