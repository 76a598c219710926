"""What happens to a container's sandbox, as events of the container: sleeps, wakes, crashes, each with its cause.

Freezing and single executions are left out: they come by the thousand, and the executions have rows of their own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import structlog
from sqlalchemy import select

from codecove import clock
from codecove.sandbox.lifecycle import State, Transition
from codecove.sandbox.observing import Work
from codecove.store.database import Database
from codecove.store.finish import finish, to_the_end
from codecove.store.tables import ContainerEventRow, ContainerRow, EventState

_AT_ONCE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """One event that is still to be written."""

    container_id: str
    at: datetime
    state: EventState
    reason: str


def event_state(before: State, now: State) -> EventState | None:
    """What is noted of a step, if it is."""
    match before, now:
        case State.WAKING, State.IDLE:
            return "running"
        case _, State.ASLEEP:
            return "asleep"
        case _, State.CRASHED:
            return "crashed"
        case _:
            return None


class Journal:
    """Writes them a moment after they happen. An `observing.Observer`, and an async context manager.

    To be entered before the host that it observes, so that what happens while that closes is written as well.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = clock.now) -> None:
        self._database = database
        self._now = now
        self._notes: asyncio.Queue[Note] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_forever(), name="write the events of containers")
        return self

    async def __aexit__(self, *exc: object) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await finish(self._close(writer))

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        """See `observing.Observer`."""
        state = event_state(before, now.state)
        if state is not None:
            self._notes.put_nowait(Note(container_id, self._now(), state, now.cause))

    def took(self, work: Work, seconds: float) -> None:
        """See `observing.Observer`. Durations are not kept."""

    async def _close(self, writer: asyncio.Task[None]) -> None:
        writer.cancel()
        await asyncio.wait({writer})
        while not self._notes.empty():
            await self._write([])

    async def _write_forever(self) -> None:
        while True:
            await self._write([await self._notes.get()])

    async def _write(self, notes: list[Note]) -> None:
        """Write `notes` and all that have come since. Those that can't be written are lost, but not in silence."""
        while not self._notes.empty() and len(notes) < _AT_ONCE:
            notes.append(self._notes.get_nowait())
        if not notes:
            return
        try:
            await self._add(notes)
        except Exception:
            log.exception("events of containers could not be written", events=[str(event) for event in notes])

    @to_the_end
    async def _add(self, notes: list[Note]) -> None:
        named = {event.container_id for event in notes}
        async with self._database.write() as session:
            running = set(
                await session.scalars(
                    select(ContainerRow.id)
                    .where(ContainerRow.id.in_(named), ContainerRow.state == "running")
                    .order_by(ContainerRow.id)
                    .with_for_update(key_share=True)
                )
            )
            # Of one that has ended, the end is the last event. One that is not there yet has been created just now.
            session.add_all(
                ContainerEventRow(container_id=event.container_id, at=event.at, state=event.state, reason=event.reason)
                for event in notes
                if event.container_id in running
            )
