"""How often the kernel has held a container's processes back because their CPU time was used up."""

from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def times_throttled(directory: Path) -> int | None:
    """Of the container whose runtime works in `directory` or below. None if its control group is not found."""
    for process in _PROC.glob("[0-9]*"):
        try:
            if not (process / "cwd").readlink().is_relative_to(directory):
                continue
            group = _group(process)
            if group is not None and (count := _count(group)) is not None:
                return count
        except OSError:  # it has ended meanwhile
            continue
    return None


def _group(process: Path) -> Path | None:
    """The directory of the control group that limits a process's CPU time."""
    for line in (process / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        root = _CGROUPS / controllers
        if (controllers == "" or "cpu" in controllers.split(",")) and (root / path.lstrip("/") / "cpu.stat").exists():
            return root / path.lstrip("/")
    return None


def _count(group: Path) -> int | None:
    for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines():
        if line.startswith("nr_throttled "):
            return int(line.split()[1])
    return None
