"""Which of the machine's processors a container's programs run on.

Under gVisor each system call of a program is handed from one thread to another and back. Where the two are on
different processors, the other one has to be woken each time, which in a virtual machine takes longer than the call. So
a program begins on one processor, the one with the fewest such programs, and may run on all of them once it has turned
out to be a long one. Figures: docs/decisions/sandbox-latency.md.
"""

import time
from collections import Counter
from collections.abc import Set as AbstractSet

from codecove.sandbox.cgroup import Cgroup

_SHORT_SECONDS = 0.1
"""What takes longer has more to gain from a processor that is free than from one that is near."""


class Processors:
    """Those that all containers of a host share. Decisions only."""

    def __init__(self, available: AbstractSet[int]) -> None:
        """`available`: none if it does not matter where programs run."""
        self._used = Counter(dict.fromkeys(available, 0))

    def take(self, last: int | None) -> int | None:
        """The least used one; `last`, where things are still in its caches, if it is as good as any."""
        if len(self._used) < 2:
            return None
        fewest = min(self._used.values())
        chosen = self._first_with(fewest) if last is None or self._used[last] > fewest else last
        self._used[chosen] += 1
        return chosen

    def leave(self, processor: int) -> None:
        """One that was taken is left."""
        self._used[processor] -= 1

    def _first_with(self, count: int) -> int:
        return next(processor for processor, used in self._used.items() if used == count)


class Seat:
    """One container's place among them. Methods that bind its processes raise `OSError`."""

    def __init__(self, processors: Processors, cgroup: Cgroup) -> None:
        self._processors = processors
        self._cgroup = cgroup
        self._taken: int | None = None
        self._bound: int | None = None
        self._since = 0.0

    def take(self, *, short: bool) -> None:
        """A program begins, which is probably a short one, or not."""
        if not short:
            self.widen()
            return
        self._taken = self._processors.take(self._bound)
        self._since = time.monotonic()
        if self._taken is not None and self._taken != self._bound:
            try:
                self._cgroup.use_processors({self._taken})
            except OSError:
                self.leave()
                raise
            self._bound = self._taken

    def leave(self) -> None:
        """It has ended."""
        if self._taken is not None:
            self._processors.leave(self._taken)
            self._taken = None

    def look(self) -> None:
        """Give way if the program turns out to be a long one."""
        if self._taken is not None and time.monotonic() - self._since > _SHORT_SECONDS:
            self.leave()
            self.widen()

    def widen(self) -> None:
        """What runs may run on all of them."""
        if self._bound is not None:
            self._cgroup.use_processors()
            self._bound = None

    def begin_anew(self) -> None:
        """Its processes are others now, which are not bound."""
        self._bound = None
