"""The processes of a container as a whole, as everything above sees them."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol


class Group(Protocol):
    """Of one container: a control group (`cgroup.py`), or what descends from its reaper (`process_tree.py`)."""

    @property
    def name(self) -> str:
        """Its last part, behind the last slash, is the container's on this machine."""
        ...

    def create(self, *, memory_bytes: int, cpus: float, processes: int) -> None:
        """Make it with its limits, as far as it can hold any. Raises `OSError`."""
        ...

    def limit_memory(self, size: int) -> None:
        """Set the hard limit, in bytes, if it can have one. Raises `OSError`."""
        ...

    def memory_in_use(self) -> int:
        """Bytes that can't be given back without killing. Raises `OSError`."""
        ...

    def memory_kills(self) -> int:
        """How many of its processes the kernel is known to have killed for memory."""
        ...

    def cpu_seconds(self) -> float:
        """CPU time that its processes, ended ones too, have taken. Raises `OSError`."""
        ...

    def processes(self) -> list[int]:
        """The pids in it."""
        ...

    def has_been_killed(self) -> bool:
        """Whether one of them dies as soon as it is thawed."""
        ...

    def entrances(self) -> list[Path]:
        """The files that a process writes its pid to, to get in."""
        ...

    def use_processors(self, chosen: AbstractSet[int]) -> None:
        """Let its processes run on these processors only. Raises `OSError`."""
        ...

    def kill(self) -> None:
        """SIGKILL to all its processes, frozen ones too."""
        ...

    def freeze(self) -> None:
        """Stop all its processes where they are. Raises `OSError`."""
        ...

    def thaw(self) -> None:
        """Let them run on."""
        ...

    def remove(self) -> bool:
        """Remove it. False if it is still in use; one that isn't there is removed."""
        ...


class Groups(Protocol):
    """Those of all containers of a host."""

    def of(self, name: str) -> Group:
        """That of one container, which need not exist."""
        ...

    def existing(self) -> Sequence[Group]:
        """Those that are there, whoever has made them."""
        ...

    def remove(self) -> None:
        """Remove what is left of them, if nothing is in them."""
        ...

    def memory_left(self) -> float:
        """Bytes that all of them together can still be given. Infinite without a limit."""
        ...
