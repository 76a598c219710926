"""How often the kernel has held a container's processes back because their CPU time was used up."""

from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def times_throttled(directory: Path) -> int | None:
    """Of the container whose runtime works in `directory` or below. None if its control group is not found."""
    ours = _group(_PROC / "self")
    for process in _processes(directory):
        group = _group(process)
        if group is not None and group != ours:
            return _count(group)
    return None


def _processes(directory: Path) -> Iterator[Path]:
    """Those that work below the directory, and what they have started: the container is among them."""
    for process in _PROC.glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(directory):
                yield process
                children = (process / "task" / process.name / "children").read_text(encoding="ascii")
                yield from (_PROC / pid for pid in children.split())
        except OSError:  # it has ended meanwhile
            continue


def _group(process: Path) -> Path | None:
    """The control group that limits a process's CPU time."""
    try:
        lines = (process / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            group = _CGROUPS / controllers / path.lstrip("/")
            if (group / "cpu.stat").exists():
                return group
    return None


def _count(group: Path) -> int | None:
    for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines():
        if line.startswith("nr_throttled "):
            return int(line.split()[1])
    return None
