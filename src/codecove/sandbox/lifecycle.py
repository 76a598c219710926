"""The states of a container, and which may follow which."""

from dataclasses import dataclass, field
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
    FAILED = "failed"
    """Its sandbox is gone and can't come back. Only deleting is left."""
    DELETED = "deleted"


_ALLOWED: Final = {
    State.CREATING: {State.IDLE, State.FAILED, State.DELETED},
    State.IDLE: {State.BUSY, State.FROZEN, State.SLEEPING, State.FAILED, State.DELETED},
    State.BUSY: {State.IDLE, State.FAILED, State.DELETED},
    State.FROZEN: {State.BUSY, State.SLEEPING, State.FAILED, State.DELETED},
    State.SLEEPING: {State.ASLEEP, State.FAILED, State.DELETED},
    State.ASLEEP: {State.WAKING, State.FAILED, State.DELETED},
    State.WAKING: {State.IDLE, State.ASLEEP, State.FAILED, State.DELETED},
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
    """Where a container is, and the way it came since it was last idle."""

    last: Transition
    failure: str = field(default="", init=False)
    """Why it failed, if it did."""

    @property
    def state(self) -> State:
        """The present state."""
        return self.last.state

    def go(self, state: State, cause: str, at: float) -> None:
        """Raises `ImpossibleTransition`."""
        if state not in _ALLOWED[self.state]:
            raise ImpossibleTransition(f"from {self.state} to {state} ({cause})")
        if state is State.FAILED:
            self.failure = cause
        self.last = Transition(state, cause, at)

    @property
    def is_over(self) -> bool:
        """Whether it will never run anything again."""
        return self.state in (State.FAILED, State.DELETED)
