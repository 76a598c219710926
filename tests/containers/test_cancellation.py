import asyncio
import random

import pytest

from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.workspaces import Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.containers.support import executions, use


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_creation_cancelled_half_way_leaves_nothing(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    host.creating.close()
    request = asyncio.create_task(use(containers, caller))
    await host.creating.reached.wait()
    assert len(host.there) == 1
    await cancelled(request)
    assert host.there == {}


async def test_a_creation_that_fails_half_way_leaves_nothing(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    host.create_error = OSError("no loop device")
    with pytest.raises(OSError, match="no loop device"):
        await use(containers, caller)
    assert host.there == {}


async def test_a_cancelled_request_gives_its_container_back(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock, database: Database
) -> None:
    running = asyncio.Event()

    async def request() -> None:
        async with containers.lease(caller, None) as lease:
            await lease.container()
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                running.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await running.wait()
    await cancelled(task)
    assert [row.error_code for row in await executions(database)] == ["cancelled"]
    clock.advance(IDLE)
    await containers.sweep()
    assert host.there == {}


async def test_cancelled_at_any_moment_a_request_neither_keeps_nor_loses_a_container(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock, database: Database
) -> None:
    named = await use(containers, caller)

    async def request(container_id: str | None) -> None:
        async with containers.lease(caller, container_id) as lease:
            await lease.container()
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                await lease.mark_loaded(["file_a"])

    pick = random.Random(5)
    for number in range(60):
        task = asyncio.create_task(request(named if number % 2 else None))
        await asyncio.sleep(pick.random() * 0.015)
        task.cancel()
        await asyncio.wait({task})
    assert [row for row in await executions(database) if row.finished_at is None] == []
    assert await use(containers, caller, named) == named
    clock.advance(IDLE)
    await containers.sweep()
    assert host.there == {}


async def test_a_shutdown_that_is_cancelled_still_deletes_what_has_ended(
    database: Database, host: StandInHost, caller: Caller
) -> None:
    async def serve(ready: asyncio.Event) -> None:
        async with Containers(database=database, host=host, idle_expiry=IDLE) as containers:
            ended, running = await use(containers, caller), await use(containers, caller)
            host.delete_error = OSError("device or resource busy")
            await containers.delete(caller, ended)
            host.delete_error = None
            assert set(host.there) == {ended, running}
            ready.set()

    ready = asyncio.Event()
    task = asyncio.create_task(serve(ready))
    await ready.wait()
    await cancelled(task)
    assert len(host.there) == 1
