"""The meter against a model of its own: random uses, crashes and restarts, and the sums that must come out."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from sqlalchemy import select

from codecove import ids
from codecove.containers.lease import Lease
from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.store.tables import ContainerSessionRow, ExecutionRow
from codecove.usage.export import Export
from codecove.usage.query import DIMENSIONS, Span
from codecove.usage.report import Reports
from codecove.usage.sums import Prices, Sums
from codecove.workspaces import Caller
from tests.containers.standin import Clock, StandInHost

MINIMUM = 300.0
EVER = timedelta(days=1000)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@dataclass
class Model:
    """Sessions as docs/decisions/usage-sessions.md has them, from nothing but the times of use."""

    uses: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=dict)

    def billed(self) -> list[timedelta]:
        found: list[timedelta] = []
        for uses in self.uses.values():
            begun: datetime | None = None
            until: datetime | None = None
            for start, end in sorted(uses):
                if begun is not None and until is not None and (start <= until or start < begun + seconds(MINIMUM)):
                    until = max(until, end)
                    continue
                if begun is not None and until is not None:
                    found.append(max(until - begun, seconds(MINIMUM)))
                begun, until = start, end
            if begun is not None and until is not None:
                found.append(max(until - begun, seconds(MINIMUM)))
        return found


class Server:
    """One server, which may be killed: then nothing that it holds is ever given back."""

    def __init__(self, database: Database, host: StandInHost, clock: Clock) -> None:
        self.database, self.host, self.clock = database, host, clock
        self.containers = self._new()
        self.stack = AsyncExitStack()
        self.killed: list[AsyncExitStack] = []

    def _new(self) -> Containers:
        return Containers(
            database=self.database, host=self.host, idle_expiry=None, max_age=EVER.total_seconds(), now=self.clock
        )

    async def start(self) -> None:
        await self.containers._fleet.reconcile()

    async def kill(self) -> None:
        self.killed.append(self.stack)
        self.stack, self.containers = AsyncExitStack(), self._new()
        await self.start()


@pytest.fixture
async def server(database: Database, host: StandInHost, clock: Clock) -> AsyncIterator[Server]:
    server = Server(database, host, clock)
    await server.start()
    yield server


async def rows(database: Database) -> tuple[list[ExecutionRow], list[ContainerSessionRow]]:
    async with database.read() as session:
        return list(await session.scalars(select(ExecutionRow))), list(
            await session.scalars(select(ContainerSessionRow))
        )


def everything(clock: Clock) -> Span:
    return Span(clock.now - EVER, clock.now + EVER, None)


async def use(containers: Containers, caller: Caller, container_id: str | None = None) -> str:
    async with containers.lease(caller, container_id) as lease:
        return (await lease.container()).id


async def billed(database: Database) -> list[float]:
    _, sessions = await rows(database)
    return sorted(row.billed_microseconds / 1e6 for row in sessions)


async def test_a_session_is_billed_for_the_minimum_and_then_as_long_as_it_is_used(
    server: Server, caller: Caller, clock: Clock, database: Database
) -> None:
    container_id = await use(server.containers, caller)
    clock.advance(MINIMUM - 1)
    await use(server.containers, caller, container_id)
    assert await billed(database) == [MINIMUM]
    clock.advance(1)
    await use(server.containers, caller, container_id)
    assert await billed(database) == [MINIMUM, MINIMUM]
    async with server.containers.lease(caller, container_id) as lease:
        await lease.container()
        clock.advance(1000.5)
    assert await billed(database) == [MINIMUM, 1000.5]


async def test_requests_that_share_a_container_share_its_session(
    server: Server, caller: Caller, clock: Clock, database: Database
) -> None:
    container_id = await use(server.containers, caller)
    async with server.containers.lease(caller, container_id) as one:
        await one.container()
        clock.advance(2 * MINIMUM)
        async with server.containers.lease(caller, container_id) as two:
            await two.container()
            clock.advance(MINIMUM)
        clock.advance(1)
    assert await billed(database) == [3 * MINIMUM + 1]


async def test_a_request_that_only_names_a_container_is_not_billed(
    server: Server, caller: Caller, clock: Clock, database: Database
) -> None:
    container_id = await use(server.containers, caller)
    clock.advance(MINIMUM)
    async with server.containers.lease(caller, container_id):
        clock.advance(1000)
    assert await billed(database) == [MINIMUM]


async def test_what_a_killed_server_was_running_is_closed_with_when_it_was_last_seen(
    server: Server, caller: Caller, clock: Clock, database: Database
) -> None:
    stack = server.stack
    lease = await stack.enter_async_context(server.containers.lease(caller, None))
    await stack.enter_async_context(lease.execution(ids.new("srvtoolu"), "bash_code_execution"))
    clock.advance(400)
    await server.containers.beat()
    clock.advance(4)
    await server.kill()
    ((execution,), (session,)) = await rows(database)
    assert (execution.error_code, execution.microseconds) == ("interrupted", 400_000_000)
    assert execution.finished_at == execution.started_at + seconds(400)
    assert (execution.key_id, execution.request_id) == (caller.key_id, caller.request_id)
    assert session.billed_microseconds == 400_000_000


async def lease_something(
    server: Server, caller: Caller, known: list[str], pick: random.Random
) -> tuple[Lease, str, datetime]:
    container_id = pick.choice(known) if known and pick.random() < 0.8 else None
    lease = await server.stack.enter_async_context(server.containers.lease(caller, container_id))
    container_id = (await lease.container()).id
    if container_id not in known:
        known.append(container_id)
    return lease, container_id, server.clock.now


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_sums_are_those_of_the_rows_and_of_the_model(
    server: Server, caller: Caller, stranger: Caller, clock: Clock, database: Database, seed: int
) -> None:
    pick, model, known = random.Random(seed), Model(), dict[str, list[str]]()
    ran = 0
    for _ in range(25):
        who = pick.choice([caller, stranger])
        active = []
        for _ in range(pick.randint(1, 3)):
            lease, container_id, begun = await lease_something(
                server, who, known.setdefault(who.workspace_id, []), pick
            )
            active.append((container_id, begun))
            clock.advance(pick.choice([0, 0.000001, 20.25]))
            for _ in range(pick.randint(0, 2)):
                async with lease.execution(ids.new("srvtoolu"), pick.choice(["bash", "editor"])) as record:
                    ran += 1
                    clock.advance(pick.random() * 100)
                    record.microseconds, record.return_code = pick.randint(0, 10**9), pick.choice([0, 1])
        if pick.random() < 0.3:
            await server.containers.beat()
            seen = clock.now
            clock.advance(pick.random() * 4)
            await server.kill()
        else:
            seen = clock.now
            await server.stack.aclose()
            server.stack = AsyncExitStack()
        for container_id, begun in active:
            model.uses.setdefault(container_id, []).append((begun, seen))
        clock.advance(pick.choice([0, 1, MINIMUM - 1, MINIMUM, MINIMUM + 1, 40_000]))
    executions, sessions = await rows(database)
    assert len(executions) == ran
    assert sorted(row.billed_microseconds for row in sessions) == sorted(
        time // timedelta(microseconds=1) for time in model.billed()
    )
    expected = Sums(
        executions=ran,
        errors=sum(row.error_code is not None for row in executions),
        microseconds=sum(row.microseconds or 0 for row in executions),
        sessions=len(sessions),
        session_microseconds=sum(row.billed_microseconds for row in sessions),
    )
    for count in range(len(DIMENSIONS) + 1):
        report = await Reports(database, Prices()).make(everything(clock), DIMENSIONS[:count])
        total = Sums()
        for sums in report.groups.values():
            total = total.plus(sums)
        assert total == expected
    exported = [row async for row in Export(database).all("sessions", everything(clock))]
    assert (
        sum(Decimal(str(row["billed_seconds"])) for row in exported) == Decimal(expected.session_microseconds) / 10**6
    )


async def test_sessions_of_one_container_never_overlap(
    server: Server, caller: Caller, clock: Clock, database: Database
) -> None:
    pick, container_id = random.Random(9), await use(server.containers, caller)
    for _ in range(30):
        clock.advance(pick.random() * 400)
        async with server.containers.lease(caller, container_id) as lease:
            await lease.container()
            clock.advance(pick.random() * 400)
    _, sessions = await rows(database)
    spans = sorted(
        (row.started_at, row.started_at + timedelta(microseconds=row.billed_microseconds)) for row in sessions
    )
    assert len(spans) > 3
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
