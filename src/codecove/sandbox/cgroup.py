"""Control groups, version 1 and 2: the limits of a container's processes as a whole, and the freezer.

The server makes the group and the runtime is started inside it, so that everything of a container is in it from the
first process on, whatever the runtime, and can be found and killed by it after a crash.
"""

import contextlib
import errno
import math
import os
import signal
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_CONTROLLERS: Final = ("memory", "cpu", "pids", "freezer")
_ACCOUNTING: Final = "cpuacct"
"""Of version 1, where `cpu` limits and this counts. Often, but not always, they are one hierarchy."""
_ASIDE: Final = "codecove-aside"
"""Where the processes of the server's own group go, if it can't make groups beside them."""
_READ_SIZE: Final = 1 << 16
_PERIOD_MICROSECONDS: Final = 20_000
"""Short, so that a container that has used up its share of one period waits at most that long for the next."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where this machine's control groups are mounted."""

    unified: bool
    """Version 2 alone. Otherwise version 1, perhaps with a version 2 hierarchy that has few or no controllers."""
    hybrid: Path | None
    """Where such a version 2 hierarchy is, if it has controllers: `crun` refuses to work while it is mounted."""

    @property
    def roots(self) -> Sequence[Path]:
        """The directories below which a container has a group."""
        return [_ROOT] if self.unified else [_ROOT / name for name in (*_CONTROLLERS, _ACCOUNTING)]

    @property
    def every_root(self) -> Sequence[Path]:
        """Those, and where a runtime may have made groups of its own."""
        return [_ROOT] if self.unified else [path for path in _ROOT.iterdir() if path.is_dir()]


def memory_left(hierarchies: Hierarchies) -> float:
    """Bytes that the topmost group, below which all containers are, can still give. Infinite without a limit.

    It has one where the server runs in a container itself.
    """
    top = Cgroup(hierarchies, "/")
    try:
        limit = top.memory_limit()
    except FileNotFoundError:
        return math.inf
    return max(limit - top.memory_in_use(), 0)


def detect() -> Hierarchies:
    """How this machine's control groups are set up."""
    if (_ROOT / "cgroup.controllers").exists():
        return Hierarchies(unified=True, hybrid=None)
    controllers = _ROOT / "unified/cgroup.controllers"
    has_controllers = controllers.exists() and controllers.read_text().strip() != ""
    return Hierarchies(unified=False, hybrid=controllers.parent if has_controllers else None)


def hand_down(root: Path, below: Path, controllers: Sequence[str]) -> None:
    """Make the group `below` of version 2 with these controllers, which each level above it must hand down.

    A group that does so may have no processes itself, but for the machine's topmost. So where the server runs in a
    container, whose topmost group is none for the kernel, all that is in it is moved aside, as Docker in Docker does.
    Raises `OSError`.
    """
    if missing := set(controllers) - set((root / "cgroup.controllers").read_text().split()):
        raise OSError(errno.ENOTSUP, f"no controllers {', '.join(sorted(missing))} for control groups", str(root))
    level = root
    for part in below.parts:
        try:
            _enable(level, controllers)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            _move_aside(level)
            _enable(level, controllers)
        level /= part
        level.mkdir(exist_ok=True)


def _enable(group: Path, controllers: Sequence[str]) -> None:
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _move_aside(group: Path) -> None:
    leaf = group / _ASIDE
    leaf.mkdir(exist_ok=True)
    # Those that are of another namespace have the number 0, which would mean this process.
    while pids := [pid for pid in (group / "cgroup.procs").read_text().split() if pid != "0"]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(pid)


class Cgroup:
    """The control group of one container, or the one above all containers of a host."""

    def __init__(self, hierarchies: Hierarchies, name: str) -> None:
        self._hierarchies = hierarchies
        self.name = name
        """The path below every hierarchy's root, such as `/codecove-1a2b3c4d/5e6f…`."""

    def create(self, *, memory_bytes: int, cpus: float, processes: int) -> None:
        """Make it with its limits. Raises `OSError`, for one when the hierarchy is missing or read-only."""
        for root in self._hierarchies.roots:
            if self._hierarchies.unified:
                hand_down(root, Path(self.name.lstrip("/")), [name for name in _CONTROLLERS if name != "freezer"])
            self._below(root).mkdir(parents=True, exist_ok=True)
        self.limit_memory(memory_bytes)
        quota = str(int(cpus * _PERIOD_MICROSECONDS))
        if self._hierarchies.unified:
            self._write("cpu", "cpu.max", f"{quota} {_PERIOD_MICROSECONDS}")
        else:
            self._write("cpu", "cpu.cfs_period_us", str(_PERIOD_MICROSECONDS))
            self._write("cpu", "cpu.cfs_quota_us", quota)
        self._write("pids", "pids.max", str(processes))

    def limit_memory(self, size: int) -> None:
        """Set the hard limit, in bytes. Nothing is swapped out instead."""
        unified = self._hierarchies.unified
        self._write("memory", "memory.max" if unified else "memory.limit_in_bytes", str(size))
        with contextlib.suppress(FileNotFoundError):
            self._write("memory", "memory.swap.max" if unified else "memory.swappiness", "0")

    def memory_limit(self) -> float:
        """The hard limit, in bytes. Infinite if there is none. Raises `OSError`."""
        limit = self._read("memory", "memory.max" if self._hierarchies.unified else "memory.limit_in_bytes").strip()
        return math.inf if limit == "max" else int(limit)

    def memory_in_use(self) -> int:
        """Bytes that can't be given back without killing: anonymous and shared memory, but no cached files."""
        counted = ("anon", "shmem") if self._hierarchies.unified else ("total_rss", "total_shmem")
        fields = dict(line.split() for line in self._read("memory", "memory.stat").splitlines())
        return sum(int(fields[name]) for name in counted)

    def memory_kills(self) -> int:
        """How many of its processes the kernel has killed for memory. 0 if it does not exist."""
        file = "memory.events" if self._hierarchies.unified else "memory.oom_control"
        with contextlib.suppress(FileNotFoundError):
            fields = dict(line.split() for line in self._read("memory", file).splitlines())
            return int(fields.get("oom_kill", 0))
        return 0

    def cpu_seconds(self) -> float:
        """CPU time that its processes, ended ones too, have taken since it was made."""
        if not self._hierarchies.unified:
            return int(self._read(_ACCOUNTING, "cpuacct.usage")) / 1e9
        fields = dict(line.split() for line in self._read("cpu", "cpu.stat").splitlines())
        return int(fields["usage_usec"]) / 1e6

    def processes(self) -> list[int]:
        """The pids in it; none if it does not exist."""
        found: set[int] = set()
        for root in self._hierarchies.roots:
            with contextlib.suppress(FileNotFoundError):
                found.update(map(int, read(f"{root}{self.name}/cgroup.procs").split()))
        return sorted(found)

    def has_been_killed(self) -> bool:
        """Whether a SIGKILL waits for one of its processes: under version 1 a frozen one dies when it is thawed."""
        with contextlib.suppress(FileNotFoundError):
            return any(is_killed(int(pid)) for pid in self._read("freezer", "cgroup.procs").split())
        return False

    def entrances(self) -> list[Path]:
        """The files that a process writes its pid to, to get in."""
        return [self._below(root) / "cgroup.procs" for root in self._hierarchies.roots]

    def use_processors(self, chosen: AbstractSet[int]) -> None:
        """Let its processes run on these processors only."""
        done: set[int] = set()
        while new := self._threads() - done:  # one may have started another meanwhile, bound like itself
            for thread in new:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, chosen)
            done |= new

    def kill(self) -> None:
        """SIGKILL to all its processes, frozen ones too."""
        self.thaw()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let them run on. A frozen process can't be killed under version 1."""
        with contextlib.suppress(FileNotFoundError):
            self._set_frozen(False)

    def children(self) -> list["Cgroup"]:
        """The groups right below it."""
        names = {
            path.name
            for root in self._hierarchies.every_root
            if self._below(root).is_dir()
            for path in self._below(root).iterdir()
            if path.is_dir()
        }
        return [Cgroup(self._hierarchies, f"{self.name}/{name}") for name in sorted(names)]

    def remove(self) -> bool:
        """Remove it everywhere. False if it is still in use somewhere; one that isn't there is removed."""
        removed = True
        for root in self._hierarchies.every_root:
            try:
                _remove_tree(self._below(root))
            except OSError:
                removed = False
        return removed

    def _below(self, root: Path) -> Path:
        return root / self.name.lstrip("/")

    def _set_frozen(self, frozen: bool) -> None:
        if self._hierarchies.unified:
            self._write("freezer", "cgroup.freeze", "1" if frozen else "0")
        else:
            self._write("freezer", "freezer.state", "FROZEN" if frozen else "THAWED")

    def _threads(self) -> set[int]:
        """None if it does not exist."""
        with contextlib.suppress(FileNotFoundError):
            file = "cgroup.threads" if self._hierarchies.unified else "tasks"
            return set(map(int, self._read("cpu", file).split()))
        return set()

    def _path(self, controller: str, file: str) -> str:
        return f"{_ROOT}{self.name}/{file}" if self._hierarchies.unified else f"{_ROOT}/{controller}{self.name}/{file}"

    def _write(self, controller: str, file: str, value: str) -> None:
        # One write call to a file that must exist: creating it is not a thing in this file system.
        fd = os.open(self._path(controller, file), os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _read(self, controller: str, file: str) -> str:
        return read(self._path(controller, file))


class Cgroups:
    """Those of all containers of a host, below one group. Implements `group.Groups`."""

    def __init__(self, hierarchies: Hierarchies, name: str) -> None:
        self._hierarchies = hierarchies
        self._above = Cgroup(hierarchies, name)

    def of(self, name: str) -> Cgroup:
        """See `group.Groups`."""
        return Cgroup(self._hierarchies, f"{self._above.name}/{name}")

    def existing(self) -> Sequence[Cgroup]:
        """See `group.Groups`."""
        return self._above.children()

    def remove(self) -> None:
        """See `group.Groups`."""
        self._above.remove()

    def memory_left(self) -> float:
        """See `group.Groups`."""
        return memory_left(self._hierarchies)


def read(path: str) -> str:
    """What the kernel says. Files are read several times for each execution: `pathlib` takes three times as long."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_SIZE):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode()


def is_killed(pid: int) -> bool:
    """Whether a SIGKILL waits for it."""
    try:
        status = read(f"/proc/{pid}/status")
    except OSError:
        return False  # it is gone
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(signals >> (signal.SIGKILL - 1) & 1 for signals in pending)


def _remove_tree(path: Path) -> None:
    if not path.is_dir():
        return
    for child in path.iterdir():
        if child.is_dir():
            _remove_tree(child)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
