"""Quotas of workspaces and keys under many requests at once: the last place is given out once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from codecove import ids
from codecove.containers.lease import Lease
from codecove.containers.refusal import QuotaExceeded
from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.workspaces import Caller, Quotas
from tests.containers.standin import Clock, StandInHost


@pytest.fixture
def containers(database: Database, host: StandInHost, clock: Clock) -> Containers:
    return Containers(database=database, host=host, idle_expiry=None, max_age=10**8, now=clock)


@pytest.fixture
async def lease(containers: Containers, caller: Caller) -> AsyncIterator[Lease]:
    async with containers.lease(caller, None) as lease:
        yield lease


def held(caller: Caller, *, workspace: Quotas | None = None, key: Quotas | None = None) -> Caller:
    return replace(caller, quotas=workspace or Quotas(), key_quotas=key or Quotas())


async def run(containers: Containers, caller: Caller, container_id: str, microseconds: int) -> float | None:
    """The value is how long it would have been allowed to run, of 300 seconds."""
    async with (
        containers.lease(caller, container_id) as lease,
        lease.execution(ids.new("srvtoolu"), "bash", at_most=300) as record,
    ):
        record.microseconds = microseconds
        return record.allowed_seconds


@pytest.mark.parametrize("by", ["workspace", "key"])
async def test_of_fifty_executions_at_once_exactly_the_quota_run(
    containers: Containers, caller: Caller, lease: Lease, by: str
) -> None:
    held_caller = held(caller, **{by: Quotas(executions=7)})
    container_id = (await lease.container()).id
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def one() -> None:
        async with (
            containers.lease(held_caller, container_id) as own,
            own.execution(ids.new("srvtoolu"), "bash"),
        ):
            begun.release()
            await go.wait()

    tasks = [asyncio.create_task(one()) for _ in range(50)]
    for _ in range(7):
        await begun.acquire()
    refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    while len(refused) < 43:
        await asyncio.sleep(0.01)
        refused = {task for task in tasks if task.done()}
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(result is None for result in results) == 7
    assert sum(isinstance(result, QuotaExceeded) and f"This {by}" in result.message for result in results) == 43
    await run(containers, held_caller, container_id, 1)


@pytest.mark.parametrize("by", ["workspace", "key"])
async def test_of_fifty_containers_at_once_exactly_the_quota_are_made(
    containers: Containers, caller: Caller, host: StandInHost, by: str
) -> None:
    held_caller = held(caller, **{by: Quotas(containers=5)})

    async def one() -> None:
        async with containers.lease(held_caller, None) as lease:
            await lease.container()

    results = await asyncio.gather(*(one() for _ in range(50)), return_exceptions=True)
    assert sum(result is None for result in results) == 5 == len(host.there)
    assert sum(isinstance(result, QuotaExceeded) and f"this {by}" in result.message for result in results) == 45


async def test_a_key_uses_up_its_own_quota_and_not_its_neighbours(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    neighbour = replace(caller, key_id="apikey_neighbour")
    for who in (caller, neighbour):
        async with containers.lease(held(who, key=Quotas(containers=1)), None) as lease:
            await lease.container()
    with pytest.raises(QuotaExceeded, match="this key"):
        async with containers.lease(held(caller, key=Quotas(containers=1)), None) as lease:
            await lease.container()
    assert len(host.there) == 2


@pytest.mark.parametrize("by", ["workspace", "key"])
async def test_seconds_of_a_day_are_given_out_once_and_are_there_again_tomorrow(
    containers: Containers, caller: Caller, lease: Lease, clock: Clock, by: str
) -> None:
    held_caller = held(caller, **{by: Quotas(execution_seconds_per_day=400)})
    container_id = (await lease.container()).id
    async with AsyncExitStack() as stack:
        allowed = []
        for _ in range(2):
            own = await stack.enter_async_context(containers.lease(held_caller, container_id))
            record = await stack.enter_async_context(own.execution(ids.new("srvtoolu"), "bash", at_most=300))
            record.microseconds = 150_000_000
            allowed.append(record.allowed_seconds)
        assert allowed == [300, 100]
        with pytest.raises(QuotaExceeded, match="in use by executions that run") as refused:
            await run(containers, held_caller, container_id, 1)
        assert refused.value.retry_after < 60
    # Of what they had reserved they have used less: 400 - 2 * 150 are left.
    assert await run(containers, held_caller, container_id, 100_000_000) == 100
    with pytest.raises(QuotaExceeded, match=f"This {by} has used up its 400 seconds") as refused:
        await run(containers, held_caller, container_id, 1)
    assert refused.value.retry_after == pytest.approx((24 - 18.9) * 3600, abs=200)
    clock.advance(refused.value.retry_after)
    assert await run(containers, held_caller, container_id, 1) == 300


async def test_seconds_of_a_day_outlive_the_server(
    database: Database, host: StandInHost, clock: Clock, caller: Caller
) -> None:
    held_caller = held(caller, key=Quotas(execution_seconds_per_day=10))
    before = Containers(database=database, host=host, idle_expiry=None, max_age=10**8, now=clock)
    async with before.lease(held_caller, None) as lease:
        container_id = (await lease.container()).id
    assert await run(before, held_caller, container_id, 9_000_000) == 10
    after = Containers(database=database, host=host, idle_expiry=None, max_age=10**8, now=clock)
    assert await run(after, held_caller, container_id, 1_000_000) == 1
    with pytest.raises(QuotaExceeded):
        await run(after, held_caller, container_id, 1)
