"""The processes of a container that has no control group: the sandbox's, which descend from its reaper.

The reaper (`native/reaper.c`) stays until all of them have ended, kills them when it is told to and when the server
dies, and is known by a lock that it holds on a file in the container's directory. So they are found again after a
crash, whatever their pids. Nothing of this is a limit: `docs/operating.md`, "Without root".
"""

import contextlib
import fcntl
import os
import signal
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from codecove.sandbox import cgroup, record

_LOCK = struct.Struct("hhqqi4x")
"""`struct flock` of Linux on 64 bits."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = 512
_OF_PROCESS = 2
"""CPUCLOCK_SCHED: the clock of a process's CPU time (clock_getcpuclockid(3))."""


class ProcessTree:
    """Implements `group.Group`."""

    def __init__(self, directory: Path) -> None:
        self.name = str(directory)
        self._lock = directory / record.LOG
        self._memory: dict[int, list[str]] = {}
        self._stopped: set[int] = set()

    def create(self, *, memory_bytes: int, cpus: float, processes: int) -> None:
        """See `group.Group`: it holds no limit."""

    def limit_memory(self, size: int) -> None:
        """See `group.Group`: it holds none."""

    def memory_in_use(self) -> int:
        """Bytes: the files that gVisor keeps its programs' memory in, and what its own processes have beside them."""
        members = list(_children(self._reaper()))
        total = sum(_anonymous(pid) for pid in members)
        self._memory = {pid: self._memory.get(pid) or _memory_files(pid) for pid in members}
        for path in (path for paths in self._memory.values() for path in paths):
            with contextlib.suppress(OSError):  # it is ending
                total += os.stat(path).st_blocks * _BLOCK  # noqa: PTH116  (several times for each execution)
        return total

    def memory_kills(self) -> int:
        """See `group.Group`: nobody counts them."""
        return 0

    def cpu_seconds(self) -> float:
        """Of those that are there, and those that they have waited for."""
        return sum(_cpu_seconds(pid) for pid in _descendants(self._reaper()))

    def processes(self) -> list[int]:
        """The reaper first. None of them is missing from when it has its lock."""
        reaper = self._find_reaper()
        return [] if reaper is None else [reaper, *_descendants(reaper)]

    def has_been_killed(self) -> bool:
        """See `group.Group`: SIGKILL ends a stopped process at once, and the others follow when they run on."""
        return not self._stopped <= set(self.processes()) or any(map(cgroup.is_killed, self._stopped))

    def entrances(self) -> list[Path]:
        """None: whatever the reaper starts is in it."""
        return []

    def use_processors(self, chosen: AbstractSet[int]) -> None:
        """Let its threads run on these processors only."""
        done: set[int] = set()
        reaper = self._reaper()
        while new := {thread for pid in _descendants(reaper) for thread in _numbers(f"/proc/{pid}/task")} - done:
            for thread in new:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, chosen)
            done |= new

    def kill(self) -> None:
        """Have them killed, by the one that they can't escape: those in the middle of a fork too."""
        reaper = self._find_reaper()
        if reaper is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(reaper, signal.SIGTERM)

    def freeze(self) -> None:
        """Stop them where they are: gVisor's kernel first, which starts no others then."""
        for pid in _descendants(self._reaper()):
            self._stopped.add(pid)
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run on, gVisor's kernel last."""
        self._stopped.clear()
        for pid in reversed(self.processes()[1:]):
            _signal(pid, signal.SIGCONT)

    def remove(self) -> bool:
        """Whether there are none."""
        return self._find_reaper() is None

    def _reaper(self) -> int:
        reaper = self._find_reaper()
        if reaper is None:
            raise ProcessLookupError(f"no processes in {self.name}")
        return reaper

    def _find_reaper(self) -> int | None:
        try:
            file = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, holder = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, wanted))
        finally:
            os.close(file)
        return None if kind == fcntl.F_UNLCK else int(holder)


class ProcessTrees:
    """Implements `group.Groups`."""

    def __init__(self, sites: Path) -> None:
        """`sites`: where the containers' directories are."""
        self._sites = sites

    def of(self, name: str) -> ProcessTree:
        """See `group.Groups`."""
        return ProcessTree(self._sites / name)

    def existing(self) -> Sequence[ProcessTree]:
        """See `group.Groups`."""
        places = sorted(self._sites.iterdir()) if self._sites.is_dir() else []
        trees = [ProcessTree(path) for path in places]
        return [tree for tree in trees if tree.processes()]

    def remove(self) -> None:
        """See `group.Groups`: there is nothing."""

    def memory_left(self) -> float:
        """See `group.Groups`: what the machine has, or the container that the server runs in."""
        return cgroup.memory_left(cgroup.detect())


def _numbers(directory: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(directory)]  # noqa: PTH208
    except OSError:  # it has ended meanwhile
        return []


def _children(pid: int) -> Iterator[int]:
    for thread in _numbers(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            yield from map(int, cgroup.read(f"/proc/{pid}/task/{thread}/children").split())


def _descendants(pid: int) -> Iterator[int]:
    """Each before those that it has started."""
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _anonymous(pid: int) -> int:
    """Bytes of its own memory, without what it shares; 0 if it has ended."""
    with contextlib.suppress(OSError):
        _, resident, shared, *_ = map(int, cgroup.read(f"/proc/{pid}/statm").split())
        return (resident - shared) * _PAGE
    return 0


def _memory_files(pid: int) -> list[str]:
    """The open files of a process that are memory, as gVisor keeps that of its programs."""
    found = []
    for number in _numbers(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{number}"
        with contextlib.suppress(OSError):
            if os.readlink(path).startswith("/memfd:"):  # noqa: PTH115
                found.append(path)
    return found


def unlinked_bytes(pids: Sequence[int]) -> int:
    """What files take on disk that these processes have open and that have no name any more."""
    sizes: dict[tuple[int, int], int] = {}
    for path in (f"/proc/{pid}/fd/{number}" for pid in pids for number in _numbers(f"/proc/{pid}/fd")):
        with contextlib.suppress(OSError):
            status = os.stat(path)  # noqa: PTH116  (there may be thousands)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and "/memfd:" not in os.readlink(path):  # noqa: PTH115
                sizes[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK
    return sum(sizes.values())


def _cpu_seconds(pid: int) -> float:
    try:
        waited_for = cgroup.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[13:15]
        return time.clock_gettime(~pid << 3 | _OF_PROCESS) + sum(map(int, waited_for)) / _TICKS
    except OSError:  # it has ended, and whoever has waited for it has its time
        return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
