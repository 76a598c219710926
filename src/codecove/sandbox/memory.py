"""Keeping a container within its memory before the kernel does.

When a control group reaches its hard limit the kernel may kill the sandbox itself, with everything in it, or leave it
hanging. So that limit is set somewhat higher, and the server looks often: over the documented limit it has the guest
agent kill the user's biggest process. The container, its files and its other processes live on.
"""

from dataclasses import dataclass

HEADROOM_BYTES = 384 * 2**20
"""From the documented limit to the kernel's: what can be allocated in the time that it takes to notice and to kill."""
OWN_BYTES = 32 * 2**20
"""What the sandbox itself takes and the user is not charged for."""
INTERVAL = 0.025
"""Seconds between two looks."""
_SETTLE_SECONDS = 1.0
_STILL_GROWING_BYTES = 64 * 2**20
_FREED_BYTES = 16 * 2**20
_MOST_IN_VAIN = 2
"""Processes that are killed one after the other with nothing freed, until it is plain that the memory is not theirs."""


@dataclass(slots=True)
class MemoryGuard:
    """Decides when to kill. Pure: it is told the time and the use."""

    limit: int
    _own: int = OWN_BYTES
    _killed_at: float = float("-inf")
    _use_then: int = 0
    _in_vain: int = 0

    def must_kill(self, in_use: int, now: float) -> bool:
        """Whether the biggest process has to go now.

        A killed process takes a moment to give its memory back: the next one is killed only when that moment is over,
        or when the use goes on growing.
        """
        self._own = max(OWN_BYTES, min(self._own, in_use))
        if self.is_within(in_use):
            if in_use < self._use_then - _FREED_BYTES:
                self._use_then, self._in_vain = 0, 0  # the last killing has helped; the next excess is another one
            return False
        growing = in_use >= self._use_then + _STILL_GROWING_BYTES
        if now - self._killed_at < _SETTLE_SECONDS and not growing:
            return False
        self._in_vain = 0 if growing or in_use < self._use_then - _FREED_BYTES else self._in_vain + 1
        if self._in_vain >= _MOST_IN_VAIN:
            self.nothing_to_kill(in_use)
            return False
        self._killed_at, self._use_then = now, in_use
        return True

    def is_within(self, in_use: int) -> bool:
        """Whether there is nothing to decide, as long as nothing runs."""
        return in_use <= self.limit + self._own

    def nothing_to_kill(self, in_use: int) -> None:
        """What is in use is the sandbox's own: the user has no process, or killing frees nothing.

        gVisor keeps what a program has filled sockets with, long after the program, and no later program is to pay for
        that. At most what the kernel lets one program take is let pass, until it is given back: when gVisor collects
        its garbage, or when the container sleeps.
        """
        self._own, self._in_vain = min(in_use, self.limit + HEADROOM_BYTES) + OWN_BYTES, 0

    @property
    def hard_limit(self) -> int:
        """For the control group, in bytes."""
        return self.limit + self._own - OWN_BYTES + HEADROOM_BYTES


def available(meminfo: str, left_by_group: float) -> int:
    """Bytes that can still be had: by `/proc/meminfo`, and by the control group that the server itself is in."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines())
    return int(min(int(fields["MemAvailable"].split()[0]) * 1024, left_by_group))


def address_space(limit: int) -> int:
    """RLIMIT_AS for a process: one allocation far beyond the limit fails at once, with an error it can handle.

    Twice the limit, as programs reserve more than they use (a JVM, thread stacks, memory-mapped files).
    """
    return 2 * limit
