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


@dataclass(slots=True)
class MemoryGuard:
    """Decides when to kill. Pure: it is told the time and the use."""

    limit: int
    _killed_at: float = float("-inf")
    _use_then: int = 0

    def must_kill(self, in_use: int, now: float) -> bool:
        """Whether the biggest process has to go now.

        A killed process takes a moment to give its memory back: the next one is killed only when that moment is over,
        or when the use goes on growing.
        """
        if in_use <= self.limit + OWN_BYTES:
            return False
        settling = now - self._killed_at < _SETTLE_SECONDS
        if settling and in_use < self._use_then + _STILL_GROWING_BYTES:
            return False
        self._killed_at, self._use_then = now, in_use
        return True


def available(meminfo: str, left_by_group: float) -> int:
    """Bytes that can still be had: by `/proc/meminfo`, and by the control group that the server itself is in."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines())
    return int(min(int(fields["MemAvailable"].split()[0]) * 1024, left_by_group))


def address_space(limit: int) -> int:
    """RLIMIT_AS for a process: one allocation far beyond the limit fails at once, with an error it can handle.

    Twice the limit, as programs reserve more than they use (a JVM, thread stacks, memory-mapped files).
    """
    return 2 * limit
