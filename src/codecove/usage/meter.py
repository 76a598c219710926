"""Who uses which container at the moment, and for how long it is billed therefore."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from codecove.store.database import Change, Database
from codecove.usage.sessions import Session, Sessions
from codecove.workspaces import Caller

MINIMUM = timedelta(minutes=5)
"""The documented minimum of a session."""


@dataclass(slots=True)
class _Use:
    """The requests that use one container."""

    requests: int = 0
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None


class Meter:
    """Keeps the sessions of containers. In memory is only who uses which container now.

    `beat` is to be called every few seconds: what a killed server has not recorded is at most what came after the
    last one.
    """

    def __init__(self, database: Database, *, now: Callable[[], datetime], minimum: timedelta = MINIMUM) -> None:
        self._database = database
        self._sessions = Sessions(database, minimum)
        self._now = now
        self._uses: dict[str, _Use] = {}

    async def begin(self, caller: Caller, container_id: str, *also: Change) -> None:
        """A request uses a container from now on, and ends that with `end`, unless this raises.

        `also` is written in the same transaction; one of it changes the container's row.
        """
        use = self._uses.setdefault(container_id, _Use())
        use.requests += 1
        try:
            async with use.beginning:
                if use.session is None:
                    use.session = await self._sessions.begin(caller, container_id, self._now(), also)
                    return
            await self._database.write_at_once(*also)
        except BaseException:
            self.end(container_id)
            raise

    def used(self, container_id: str, now: datetime) -> Change:
        """The change that records that the container is in use until `now`."""
        session = self._uses[container_id].session
        return self._sessions.extended([] if session is None else [session], now)

    def end(self, container_id: str) -> None:
        """It does so no longer. First `used` is to be written: whoever begins meanwhile goes on with this session."""
        use = self._uses[container_id]
        use.requests -= 1
        if use.requests == 0:
            del self._uses[container_id]

    def beat(self, now: datetime) -> Change:
        """The change that records that the containers in use are so until `now`."""
        in_use = [use.session for use in self._uses.values() if use.session is not None]
        return self._sessions.extended(in_use, now)
