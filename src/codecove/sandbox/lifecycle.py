"""The states of a container, and which may follow which."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from codecove.sandbox.errors import SandboxError


class State(StrEnum):
    """What a container is doing."""

    CREATING = "creating"
    IDLE = "idle"
    """Awake, and nothing asked of it. What runs in the background runs."""
    BUSY = "busy"
    FROZEN = "frozen"
    """Idle, and stopped where it is: it costs memory but no CPU."""
    SLEEPING = "sleeping"
    """On the way to sleep. Calls wait, and then wake it."""
    ASLEEP = "asleep"
    """Only files on the host's disk: no process, no memory, no mount."""
    WAKING = "waking"
    CRASHED = "crashed"
    """Its sandbox has ended without being asked to. Its files are there; what else is left of it is being removed."""
    FAILED = "failed"
    """It can't come back. Only deleting is left."""
    DELETED = "deleted"


_ENDS: Final = {State.FAILED, State.DELETED}
_ALLOWED: Final = {
    State.CREATING: {State.IDLE, *_ENDS},
    State.IDLE: {State.BUSY, State.FROZEN, State.SLEEPING, State.CRASHED, *_ENDS},
    State.BUSY: {State.IDLE, State.CRASHED, *_ENDS},
    State.FROZEN: {State.BUSY, State.SLEEPING, State.CRASHED, *_ENDS},
    State.SLEEPING: {State.ASLEEP, State.CRASHED, *_ENDS},
    State.ASLEEP: {State.WAKING, *_ENDS},
    State.WAKING: {State.IDLE, State.ASLEEP, State.CRASHED, *_ENDS},
    State.CRASHED: {State.ASLEEP, *_ENDS},
    State.FAILED: {State.DELETED},
    State.DELETED: set[State](),
}


class ImpossibleTransition(SandboxError):
    """A fault of ours: the container can't go from the one state to the other."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step: when (seconds of a monotonic clock) and why."""

    state: State
    cause: str
    at: float


@dataclass(slots=True)
class Lifecycle:
    """Where a container is, and how it got there."""

    last: Transition
    observe: Callable[[State, Transition], None] = lambda before, now: None
    """Is told of every step, with the state before it."""

    @property
    def state(self) -> State:
        """The present state."""
        return self.last.state

    def go(self, state: State, cause: str, at: float) -> None:
        """Raises `ImpossibleTransition`."""
        if state not in _ALLOWED[self.state]:
            raise ImpossibleTransition(f"from {self.state} to {state} ({cause})")
        before, self.last = self.state, Transition(state, cause, at)
        self.observe(before, self.last)

    @property
    def is_over(self) -> bool:
        """Whether it will never run anything again."""
        return self.state in (State.FAILED, State.DELETED)
