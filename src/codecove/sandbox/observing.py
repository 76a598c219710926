"""What a host tells those above it of its containers, as it happens."""

from typing import Literal, Protocol

from codecove.sandbox.lifecycle import State, Transition

Work = Literal["boot", "wake", "sleep", "execution"]


class Observer(Protocol):
    """Is told, and must neither wait nor raise."""

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        """A container has gone from one state to another. `container_id` has been given to it by then."""
        ...

    def took(self, work: Work, seconds: float) -> None:
        """Something was done, successfully, in so many seconds of wall clock."""
        ...


class Observers:
    """Passes on to any number of them."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """From now on it is told too."""
        self._observers.append(observer)

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.moved(container_id, before, now)

    def took(self, work: Work, seconds: float) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.took(work, seconds)
