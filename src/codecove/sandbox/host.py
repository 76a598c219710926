"""The seam: a place that runs containers, and a container, as everything above the sandbox sees them."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from codecove.sandbox.errors import GuestFileError
from codecove.sandbox.limits import Limits

WORKING_DIRECTORY = "/workspace"
HOME = "/home/user"
INPUT_ROOT = "/files/input"
OUTPUT_ROOT = "/files/output"
NOWHERE: Mapping[str, int] = MappingProxyType({})

FileKind = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class FileStat:
    """What `lstat` says of one path in a container."""

    name: str
    """The last component; bytes that are not UTF-8 as surrogate escapes."""
    kind: FileKind
    size: int
    """Bytes."""
    mtime_ns: int
    inode: int
    links: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of one directory, in no order; `truncated` when there were more than asked for."""

    entries: Sequence[FileStat]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Output:
    """One stream of an execution: its head and tail, and how many bytes between them were dropped."""

    head: bytes
    tail: bytes = b""
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of one command."""

    stdout: Output
    stderr: Output
    return_code: int
    """The exit status; 128 + n for a process killed by signal n."""
    timed_out: bool
    """It was killed, with all it had started, because its time was up."""
    out_of_memory: bool
    """A process of it was killed for memory (its return code is then 137)."""
    seconds: float
    """Wall clock, from the request to the end."""
    cpu_seconds: float
    """CPU time of the whole container meanwhile: the command, the sandbox around it, what runs in the background."""
    peak_memory_bytes: int
    """The most memory that the whole container had in use meanwhile, without cached files: what its limit is on.

    Looked at every 25 ms, and at the beginning and the end: a shorter peak may be higher.
    """
    out_of_disk: bool = False
    """Where the kernel does not limit the disk: it was over its limit, and what wrote to it was killed."""
    before: Mapping[str, Listing] = field(default_factory=dict)
    """What was in the directories that were to be looked at right before it, by their paths."""
    after: Mapping[str, Listing] = field(default_factory=dict)
    """The same right after it. What can't be listed, or is no directory, is missing."""


class Terminal(Protocol):
    """A program on a terminal of its own in a container.

    What it writes and nobody reads makes it wait. Every method raises `ContainerUnavailable` when the sandbox is gone.
    """

    async def read(self) -> bytes:
        """What it has written since the last call, as soon as there is any; empty when it has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Type this on its keyboard. Returns when the terminal has taken all but the last 64 KiB; one that has ended
        takes anything."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Give its window another size: each from 1 to 65535."""
        ...

    async def return_code(self) -> int:
        """Wait for its end. The exit status; 128 + n for a process killed by signal n."""
        ...


class Container(Protocol):
    """An isolated place where commands run and files stay. Commands run one at a time, in the order asked.

    Every method raises `ContainerUnavailable` when the sandbox is gone. Paths are absolute, as seen inside.
    All is done as the container's unprivileged user: what that user may not, fails with `GuestFileError`.
    Cancelling a call kills what it runs.
    """

    @property
    def id(self) -> str: ...

    def held(self) -> AbstractContextManager[None]:
        """In the block it is not put to sleep for others, also while nothing is asked of it: more is about to be."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout: float,
        cwd: str = WORKING_DIRECTORY,
        stdin: bytes = b"",
        look_before: Mapping[str, int] = NOWHERE,
        look_after: Mapping[str, int] = NOWHERE,
    ) -> Execution:
        """Run one command to its end. `env` adds to the base environment (PATH, HOME, LANG, USER …).

        What it leaves in the background goes on running and does not hold the call open, unless the time
        is up: then everything that this command started is killed within a second. Without a `cwd` that
        can be entered it starts in `/`, after a line on stderr.

        `look_before` and `look_after` (at most 4) are directories to be listed, and how many entries of each at most:
        with no other command between, and without an exchange with the container for it.
        """
        ...

    def terminal(
        self, argv: Sequence[str], *, env: Mapping[str, str], rows: int, columns: int
    ) -> AbstractAsyncContextManager[Terminal]:
        """Run a program on a terminal in the working directory, beside what else runs, as long as the block lasts.

        All that it has started is killed when the block is left before its end. After its end what it has left in the
        background goes on, unless the loss of its terminal ends it. Raises `TerminalRefused` when too many are open.
        """
        ...

    async def stat(self, path: str, *, follow: bool = True) -> FileStat:
        """Raises `GuestFileError`, `is_missing` when there is nothing there."""
        ...

    async def list_directory(self, path: str, *, limit: int) -> Listing:
        """At most `limit` entries of one directory, each by `lstat`. Raises `GuestFileError`."""
        ...

    async def read_file(self, path: str, *, limit: int) -> bytes:
        """The first `limit` bytes of a regular file (EINVAL for any other kind). Raises `GuestFileError`.

        A file that says its size is 0 is read nevertheless: those in /proc say so.
        """
        ...

    def stream_file(self, path: str, *, follow: bool = True) -> AsyncGenerator[bytes, None]:
        """A regular file's bytes, up to the size it had when it was opened. Never blocks on a FIFO or device.

        With `follow=False` a symbolic link as last component is ELOOP. Raises `GuestFileError`.
        """
        ...

    async def write_file(self, path: str, data: AsyncIterable[bytes] | bytes) -> None:
        """Create or replace a regular file, making parent directories. A symbolic link is written through.

        It is there when all of `data` has been written; if that fails, what was there before is as it was. (Except
        in a directory that the user may not write to, and where no file outlives the container: written in place.)
        Raises `GuestFileError` (ENOSPC when the disk limit is reached, EISDIR, EACCES …).
        """
        ...

    async def make_directories(self, paths: Sequence[str]) -> Sequence[GuestFileError | None]:
        """Make directories and their parents; one that exists is no error. Of each, why it could not be made."""
        ...


class SandboxHost(Protocol):
    """A place that runs containers: this machine, or a cluster."""

    @property
    def limits(self) -> Limits:
        """What a container may use that is created without limits."""
        ...

    async def create(
        self, container_id: str, limits: Limits | None = None, *, libraries: bool | None = None
    ) -> Container:
        """Boot a fresh container. Raises `ContainerUnavailable`, `HostFull`.

        `libraries`: whether its first program is Python that uses the usual ones. None: not known.
        """
        ...

    async def get(self, container_id: str) -> Container:
        """A container made before, awake. Raises `ContainerNotFound`; of one that sleeps what `create` raises."""
        ...

    async def containers(self) -> AbstractSet[str]:
        """The ids of those it has, asleep or awake, also from before the server's last start."""
        ...

    async def delete(self, container_id: str) -> None:
        """End it and remove all it left: processes, mounts, loop device, cgroup, files. Idempotent."""
        ...
