"""The programs in C, and the layer that every container has over its image: the guest agent, the user, the
directories it may write."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codecove.sandbox.bundle import AGENT_PATH, WAITING_PATH
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.host import HOME, INPUT_ROOT, OUTPUT_ROOT, WORKING_DIRECTORY

USER_ID = 1000
_SOURCES = Path(__file__).parent
_FLAGS = ("-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror")
_PROGRAM = "-static"
_LIBRARY = ("-shared", "-fPIC", "-fvisibility=hidden")
_IN_LIBRARY = ("waiting", "become", "read")
"""What is loaded into a shell that waits. The first is not part of the agent."""
_FORMAT = "4"
"""Changes when the layer is made differently from the same sources."""

_UNFINISHED = ".guest-"

_DIRECTORIES: Sequence[tuple[str, int, int]] = (
    # path, mode, owner
    (".codecove", 0o700, 0),
    ("dev", 0o755, 0),
    ("etc", 0o755, 0),
    ("files", 0o755, USER_ID),
    (INPUT_ROOT, 0o755, USER_ID),
    (OUTPUT_ROOT, 0o755, USER_ID),
    ("home", 0o755, 0),
    (HOME, 0o755, USER_ID),
    ("proc", 0o555, 0),
    ("run", 0o755, 0),
    ("run/lock", 0o755, 0),
    ("sys", 0o555, 0),
    ("tmp", 0o1777, 0),
    ("var", 0o755, 0),
    ("var/tmp", 0o1777, 0),
    (WORKING_DIRECTORY, 0o755, USER_ID),
)
_FILES = {
    "etc/hostname": "sandbox\n",
    "etc/hosts": "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost\n",
    "etc/resolv.conf": "",
}


@dataclass(frozen=True, slots=True)
class Built:
    """What is compiled and laid out once for all containers of an image."""

    directory: Path

    @property
    def reaper(self) -> Path:
        """The parent of a sandbox's processes on the host."""
        return self.directory / "reaper"

    @property
    def idmap(self) -> Path:
        """Mounts a directory with its owners shifted."""
        return self.directory / "idmap"

    @property
    def layer(self) -> Path:
        """What lies over the image's root file system."""
        return self.directory / "layer"


def build(directory: Path, rootfs: Path) -> Built:
    """Makes it below `directory`, unless it is there already from the same sources and the same image's accounts.

    Raises `SandboxError` when there is no C compiler, or it fails.
    """
    accounts = {name: _with_user(rootfs, name, entry) for name, entry in _ACCOUNTS.items()}
    digest = hashlib.sha256("\0".join([_FORMAT, *_FLAGS, _PROGRAM, *_LIBRARY, *accounts.values()]).encode())
    for source in sorted([*_SOURCES.glob("*/*.[ch]"), *_SOURCES.glob("guest/*.py")]):
        digest.update(source.read_bytes())
    built = Built(directory / f"guest-{digest.hexdigest()[:16]}")
    if not built.directory.exists() or any(directory.glob(f"{_UNFINISHED}*")):
        directory.mkdir(mode=0o700, exist_ok=True)
        with _alone(directory):
            for left in directory.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left)
            if not built.directory.exists():
                _make(built, accounts)
    return built


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One at a time makes something there. What is unfinished then was left by one that was killed."""
    with (directory / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(built: Built, accounts: Mapping[str, str]) -> None:
    made = Built(Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=built.directory.parent)))
    try:
        made.layer.mkdir()
        for path, mode, owner in _DIRECTORIES:
            _make_directory(made.layer / path.lstrip("/"), mode, owner)
        for path, text in {**_FILES, **accounts}.items():
            (made.layer / path).write_text(text)
        (made.layer / ".codecove/link").symlink_to("agent")  # the agent asks the runtime for its attributes
        for source in _SOURCES.glob("guest/*.py"):
            shutil.copyfile(source, made.layer / ".codecove" / source.name)
        library = [_SOURCES / f"guest/{name}.c" for name in _IN_LIBRARY]
        _compile(made.layer / WAITING_PATH.lstrip("/"), library, *_LIBRARY)
        _compile(made.layer / AGENT_PATH.lstrip("/"), {*_SOURCES.glob("guest/*.c")} - {library[0]}, _PROGRAM)
        for program in (made.reaper, made.idmap):
            _compile(program, [_SOURCES / f"native/{program.name}.c"], _PROGRAM)
        made.directory.rename(built.directory)
    except BaseException:
        shutil.rmtree(made.directory)
        raise


_ACCOUNTS = {
    "etc/passwd": f"user:x:{USER_ID}:{USER_ID}::{HOME}:/bin/bash",
    "etc/group": f"user:x:{USER_ID}:",
}


def _with_user(rootfs: Path, name: str, entry: str) -> str:
    file = rootfs / name
    lines = file.read_text().splitlines() if file.is_file() and not file.is_symlink() else []
    if not any(line.split(":")[2:3] == [str(USER_ID)] for line in lines):
        lines.append(entry)
    return "\n".join(lines) + "\n"


def _make_directory(path: Path, mode: int, owner: int) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, owner, owner)


def _compile(product: Path, sources: Iterable[Path], *flags: str) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SandboxError(
            "no C compiler for the sandbox's small programs: install one (Debian: apt-get install gcc libc6-dev)"
        )
    command = [compiler, *_FLAGS, *flags, "-o", str(product), *map(str, sorted(sources))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own sources
    if result.returncode != 0:
        raise SandboxError(f"{product.name} could not be compiled:\n{result.stderr.strip()}")
    product.chmod(0o700)
