"""What an execution takes: CPU time and memory, by its container's control group."""

from typing import NamedTuple

from codecove.sandbox.group import Group


class Usage(NamedTuple):
    """See `host.Execution`."""

    cpu_seconds: float
    peak_memory_bytes: int


class Meter:
    """Reads the control group. One execution at a time is measured. Every method raises `OSError`."""

    def __init__(self, cgroup: Group) -> None:
        self._cgroup = cgroup
        self._cpu_seconds = 0.0
        self._peak = 0
        self.memory_in_use = 0
        """Bytes at the last look. What is frozen keeps what it had then."""

    def look(self) -> int:
        """The memory in use now, in bytes, which may be the peak."""
        self.memory_in_use = self._cgroup.memory_in_use()
        self._peak = max(self._peak, self.memory_in_use)
        return self.memory_in_use

    def begin(self) -> None:
        """An execution begins."""
        self._cpu_seconds = self._cgroup.cpu_seconds()
        self._peak = 0
        self.look()

    def end(self) -> Usage:
        """It has ended. This is what it took."""
        self.look()
        return Usage(max(self._cgroup.cpu_seconds() - self._cpu_seconds, 0.0), self._peak)
