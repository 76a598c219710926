"""Which of the machine's processors a container runs on.

Under gVisor each system call of a program is handed from one thread to another and back. Where the two are on different
processors, the other one has to be woken each time, which in a virtual machine takes longer than the call. So a
container that may use one processor at a time is bound to one: the one on which the fewest programs run, and later to
another one if that turns out to have less else to do. Figures: docs/decisions/sandbox-latency.md.
"""

import errno
import os
import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from codecove.sandbox.group import Group

_LOOK_SECONDS = 0.2
"""Between two looks at whether it is on the right one."""
_CLEARLY = 0.25
"""Of a processor: so much more must another one have free to be worth a move."""
_STATISTICS = Path("/proc/stat")
_WORK = (1, 2, 3, 6, 7, 8)
"""Columns of it: user, nice, system, interrupts of both kinds, and what the machine's own host has taken away."""


_CAP_SYS_NICE = 23


def may_bind() -> bool:
    """Whether this process may choose for others: capabilities(7), CAP_SYS_NICE."""
    fields = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(fields["CapEff"], 16) >> _CAP_SYS_NICE & 1)


@dataclass(frozen=True, slots=True)
class Look:
    """At one moment, in seconds of the monotonic clock."""

    at: float
    busy: Mapping[int, float]
    """Seconds that each processor has worked so far."""
    own: float
    """Seconds of it for the container."""


def better(current: int, before: Look, now: Look) -> int | None:
    """A processor that had clearly less to do for others between two looks than the `current` one. None: none."""
    passed = now.at - before.at
    others = {processor: (now.busy[processor] - worked) / passed for processor, worked in before.busy.items()}
    others[current] -= (now.own - before.own) / passed
    best = min(others, key=others.__getitem__)
    return best if others[current] - others[best] > _CLEARLY else None


def busy(statistics: str, available: AbstractSet[int]) -> dict[int, float]:
    """Seconds of work of the available processors, by `/proc/stat`."""
    lines = (line.split() for line in statistics.splitlines() if line.startswith("cpu") and line[3:4].isdigit())
    ticks = os.sysconf("SC_CLK_TCK")
    found = {int(fields[0][3:]): sum(int(fields[column]) for column in _WORK) / ticks for fields in lines}
    return {processor: seconds for processor, seconds in found.items() if processor in available}


class Processors:
    """Those that all containers of a host share."""

    def __init__(self, available: AbstractSet[int]) -> None:
        """`available`: none if it does not matter where programs run."""
        self.available = available
        self._used = Counter(dict.fromkeys(sorted(available), 0))
        self.awake: set[Seat] = set()
        """Of the containers that are neither frozen nor asleep."""
        self.moved_at = 0.0
        """When one was last exchanged for a better one, after which older looks are worth nothing."""

    @property
    def is_choice(self) -> bool:
        """Whether there is more than one."""
        return len(self.available) > 1

    @property
    def is_idle(self) -> bool:
        """Whether no program runs on one of them."""
        return not self.available or min(self._used.values()) == 0

    def take(self, last: int | None) -> int:
        """The one on which the fewest programs run; `last`, where things are still in its caches, if it is as good."""
        fewest = min(self._used.values())
        chosen = self._first_with(fewest) if last is None or self._used[last] > fewest else last
        self._used[chosen] += 1
        return chosen

    def leave(self, processor: int) -> None:
        """A program that ran there has ended."""
        self._used[processor] -= 1

    def move(self, old: int, new: int) -> None:
        """A program that runs there goes to another one."""
        self._used[old] -= 1
        self._used[new] += 1
        self.moved_at = time.monotonic()

    def look(self, group: Group) -> Look:
        """How things are now. Raises `OSError`."""
        return Look(time.monotonic(), busy(_STATISTICS.read_text(), self.available), group.cpu_seconds())

    def _first_with(self, count: int) -> int:
        return next(processor for processor, used in self._used.items() if used == count)


class Seat:
    """One container's place among them. Every method but `leave` raises `OSError` without its control group."""

    def __init__(self, processors: Processors, cgroup: Group, *, cpus: float) -> None:
        self._processors = processors
        self._cgroup = cgroup
        self._single = processors.is_choice and cpus <= 1
        self._bound: int | None = None
        self._taken = False
        self._last: Look | None = None

    def note(self, *, awake: bool) -> None:
        """Whether the container is neither frozen nor asleep now."""
        if awake:
            self._processors.awake.add(self)
        else:
            self._processors.awake.discard(self)

    @property
    def is_crowded(self) -> bool:
        """Whether more containers are awake than there are processors, where that matters."""
        return self._processors.is_choice and len(self._processors.awake) > len(self._processors.available)

    @property
    def is_idle(self) -> bool:
        """Whether a processor is, as far as they are chosen here: there is time for what is only needed later."""
        return self._processors.is_idle

    def settle(self) -> None:
        """It has booted or woken, bound to whatever its start was bound to."""
        self._bound = None
        if self._single:
            self.take()
            self.leave()
        elif self._processors.is_choice:
            self._cgroup.use_processors(self._processors.available)

    def take(self) -> None:
        """A program begins."""
        if self._single:
            chosen = self._processors.take(self._bound)
            try:
                self._bind(chosen)
            except OSError:
                self._processors.leave(chosen)
                raise
            self._taken = True
            self._last = None

    def leave(self) -> None:
        """It has ended."""
        if self._taken and self._bound is not None:
            self._processors.leave(self._bound)
        self._taken = False

    def look(self) -> None:
        """Now and then while something runs: go where less else is done, if there is such a place."""
        last, bound = self._last, self._bound
        if bound is None or (last is not None and time.monotonic() - last.at < _LOOK_SECONDS):
            return
        self._last = now = self._processors.look(self._cgroup)
        if last is None or last.at < self._processors.moved_at:
            return
        chosen = better(bound, last, now)
        if chosen is not None:
            if self._taken:
                self._processors.move(bound, chosen)
            self._bind(chosen)

    def _bind(self, chosen: int) -> None:
        if chosen == self._bound:
            return
        self._bound = chosen
        try:
            self._cgroup.use_processors({chosen})
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # It was taken away from the machine, or from the server, since that was started.
            self._cgroup.use_processors(os.sched_getaffinity(0))
