"""Leases and expiry in any order, against a model that knows only the rules."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from codecove.containers.lease import Lease
from codecove.containers.service import Containers
from codecove.sandbox.errors import ContainerExpired
from codecove.store.database import Database
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.support.sqlite import new_sqlite

CALLER = Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one")


@dataclass
class Known:
    """What the rules say of one container."""

    last_active: datetime
    leases: int = 0
    over: bool = False
    """It is expired for good: somebody has noticed."""


@dataclass
class Held:
    lease: Lease
    exit: AsyncExitStack
    usable: bool
    container_id: str | None = field(default=None)


class LeasesAndExpiry(RuleBasedStateMachine):
    leases = Bundle("leases")
    containers = Bundle("containers")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.directory = tempfile.TemporaryDirectory()
        self.host = StandInHost()
        self.clock = Clock()
        self.known: dict[str, Known] = {}

    @initialize()
    def start(self) -> None:
        async def start() -> Containers:
            database = await self.stack.enter_async_context(Database(new_sqlite(Path(self.directory.name))))
            service = Containers(database=database, host=self.host, idle_expiry=IDLE, now=self.clock)
            return await self.stack.enter_async_context(service)

        self.service = self.runner.run(start())

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        assert set(self.host.there) == {id_ for id_, known in self.known.items() if not known.over}
        self.runner.close()
        self.directory.cleanup()

    def is_due(self, known: Known) -> bool:
        return not known.leases and self.clock.now >= known.last_active + timedelta(seconds=IDLE)

    @rule(target=leases)
    def take_none(self) -> Held:
        return self.take(None)

    @rule(target=leases, container_id=containers)
    def take_named(self, container_id: str) -> Held:
        known = self.known[container_id]
        known.over = known.over or self.is_due(known)
        held = self.take(container_id)
        held.usable, held.container_id = not known.over, container_id
        if held.usable:
            known.last_active = self.clock.now
            known.leases += 1
            assert held.lease.expires_at == self.clock.now + timedelta(seconds=IDLE)
        return held

    def take(self, container_id: str | None) -> Held:
        async def take() -> Held:
            exit_ = AsyncExitStack()
            lease = await exit_.enter_async_context(self.service.lease(CALLER, container_id))
            self.stack.push_async_exit(exit_)
            return Held(lease, exit_, usable=True)

        return self.runner.run(take())

    @rule(target=containers, held=leases)
    def use(self, held: Held) -> str:
        async def use() -> str | None:
            try:
                return (await held.lease.container()).id
            except ContainerExpired:
                return None

        container_id = self.runner.run(use())
        assert (container_id is not None) == held.usable
        if container_id is None:
            assert held.container_id is not None
            return held.container_id
        if held.container_id is None:
            held.container_id = container_id
            self.known[container_id] = Known(self.clock.now, leases=1)
        assert container_id == held.container_id
        return container_id

    @rule(held=consumes(leases))
    def release(self, held: Held) -> None:
        self.runner.run(held.exit.aclose())
        if held.usable and held.container_id is not None:
            known = self.known[held.container_id]
            known.leases -= 1
            known.last_active = self.clock.now

    @rule(seconds=st.sampled_from([1, IDLE / 2, IDLE - 1, IDLE, IDLE * 3]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.runner.run(self.service.sweep())
        for container_id, known in self.known.items():
            known.over = known.over or self.is_due(known)
            assert (container_id in self.host.there) == (not known.over)

    @invariant()
    def what_may_be_used_is_there(self) -> None:
        assert {id_ for id_, known in self.known.items() if not known.over} <= set(self.host.there)


# A released lease is not used again: the service's user leaves its context.
TestLeasesAndExpiry = LeasesAndExpiry.TestCase
TestLeasesAndExpiry.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
