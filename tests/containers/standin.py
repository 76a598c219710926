"""A sandbox host for tests of leases and expiry: containers that are only names, and doors to hold things up."""

import asyncio
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import cast

from codecove.sandbox.errors import ContainerLost, ContainerNotFound
from codecove.sandbox.host import Container
from codecove.sandbox.limits import Limits


class Door:
    """Open, unless it is closed: then `pass_through` waits, and `reached` says that somebody does."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.reached = asyncio.Event()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
        await self._open.wait()


class StandInContainer:
    """Only its identity matters."""

    def __init__(self, container_id: str) -> None:
        self.id = container_id

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()


class StandInHost:
    """Keeps names. `there` has the containers that exist, half-made ones too."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.given: dict[str, Limits | None] = {}
        """What each container was to have."""
        self.there: dict[str, StandInContainer] = {}
        self.deleted: list[str] = []
        self.dead: set[str] = set()
        self.creating = Door()
        self.create_error: Exception | None = None
        self.delete_error: Exception | None = None

    async def create(
        self, container_id: str, limits: Limits | None = None, *, libraries: bool | None = None
    ) -> Container:
        assert container_id not in self.there
        self.given[container_id] = limits
        self.there[container_id] = StandInContainer(container_id)
        await self.creating.pass_through()
        if self.create_error is not None:
            raise self.create_error
        return await self.get(container_id)

    async def get(self, container_id: str) -> Container:
        if container_id in self.dead:
            raise ContainerLost("its disk is gone")
        if container_id not in self.there:
            raise ContainerNotFound(container_id)
        return cast("Container", self.there[container_id])

    async def containers(self) -> AbstractSet[str]:
        return self.there.keys() | self.dead

    async def delete(self, container_id: str) -> None:
        await asyncio.sleep(0)
        if self.delete_error is not None:
            raise self.delete_error
        self.there.pop(container_id, None)
        self.dead.discard(container_id)
        self.deleted.append(container_id)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 30, 18, 54, 8, 960841, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now
