import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from codecove.containers.retention import forget_ended
from codecove.containers.service import Containers
from codecove.errors import NotFound
from codecove.sandbox.errors import ContainerExpired
from codecove.store.database import Database
from codecove.workspaces import Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.containers.support import executions, history, use

EXPIRED = ("expired", "no activity for 3600 seconds")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


async def test_an_idle_container_is_deleted_when_its_time_is_over(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock, database: Database
) -> None:
    container_id = await use(containers, caller)
    clock.advance(IDLE - 0.001)
    await containers.sweep()
    assert list(host.there) == [container_id]
    clock.advance(0.001)
    await containers.sweep()
    assert host.there == {}
    assert await history(database, container_id) == [("running", "created by a request"), EXPIRED]


async def test_a_request_that_names_an_expired_container_learns_it(
    containers: Containers, caller: Caller, clock: Clock
) -> None:
    container_id = await use(containers, caller)
    expires_at = clock.advance(IDLE)
    await containers.sweep()
    clock.advance(5)
    async with containers.lease(caller, container_id) as lease:
        assert (lease.container_id, lease.expires_at) == (container_id, expires_at)
        with pytest.raises(ContainerExpired, match=container_id):
            await lease.container()


async def test_a_container_is_expired_from_its_moment_on_whether_swept_or_not(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock, database: Database
) -> None:
    container_id = await use(containers, caller)
    clock.advance(IDLE)
    for _ in range(2):
        async with containers.lease(caller, container_id) as lease:
            with pytest.raises(ContainerExpired):
                await lease.container()
    assert (await history(database, container_id))[1:] == [EXPIRED]
    await containers.sweep()
    assert host.there == {}


async def test_a_container_in_use_does_not_expire(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock
) -> None:
    async with containers.lease(caller, None) as lease:
        container = await lease.container()
        clock.advance(IDLE * 3)
        await containers.sweep()
        assert await lease.container() is container
    clock.advance(IDLE - 1)
    await containers.sweep()
    assert list(host.there) == [container.id]
    clock.advance(1)
    await containers.sweep()
    assert host.there == {}


async def test_of_two_requests_the_later_one_keeps_the_container(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock
) -> None:
    container_id = await use(containers, caller)
    async with containers.lease(caller, container_id) as one:
        clock.advance(IDLE * 2)
        async with containers.lease(caller, container_id) as two:
            assert await one.container() is await two.container()
        clock.advance(IDLE * 2)
        await containers.sweep()
        assert list(host.there) == [container_id]
    clock.advance(IDLE)
    await containers.sweep()
    assert host.there == {}


async def test_a_container_that_can_not_be_deleted_is_tried_again(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock
) -> None:
    container_id = await use(containers, caller)
    clock.advance(IDLE)
    host.delete_error = RuntimeError("device or resource busy")
    await containers.sweep()
    assert list(host.there) == [container_id]
    host.delete_error = None
    await containers.sweep()
    assert host.there == {}


async def test_containers_expire_by_themselves(database: Database, host: StandInHost, caller: Caller) -> None:
    async with Containers(database=database, host=host, idle_expiry=0.1) as containers:
        for _ in range(3):
            await use(containers, caller)
        await until(lambda: not host.there)


async def test_a_sweep_that_fails_is_not_the_last(
    database: Database, host: StandInHost, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> None:
    failures: list[str] = []

    class Unreliable(Containers):
        async def sweep(self) -> None:
            if len(failures) < 3:
                failures.append("once more")
                raise OSError("disk I/O error")
            await super().sweep()

    async with Unreliable(database=database, host=host, idle_expiry=0.1) as containers:
        await use(containers, caller)
        await until(lambda: not host.there)
    assert len(failures) == 3


async def test_containers_outlive_the_server_and_expire_by_their_true_age(
    database: Database, host: StandInHost, caller: Caller, clock: Clock
) -> None:
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as containers:
        early = await use(containers, caller)
        clock.advance(IDLE / 2)
        late = await use(containers, caller)
    assert set(host.there) == {early, late}
    clock.advance(IDLE / 2)
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as containers:
        assert set(host.there) == {late}
        assert await use(containers, caller, late) == late
    assert [state for state, _ in await history(database, early)] == ["running", "expired"]


async def test_at_the_start_the_host_deletes_containers_of_which_no_row_says_that_they_run(
    database: Database, host: StandInHost, caller: Caller, clock: Clock
) -> None:
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as containers:
        known = await use(containers, caller)
    await host.create("without-a-row")
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock):
        assert set(host.there) == {known}


async def test_containers_that_a_crash_took_are_expired_at_the_next_start(
    database: Database, host: StandInHost, caller: Caller, clock: Clock
) -> None:
    before = Containers(database=database, host=host, idle_expiry=IDLE, now=clock)
    lost, kept = [await use(before, caller) for _ in range(2)]
    async with before.lease(caller, lost) as lease, lease.execution("srvtoolu_1", "bash_code_execution"):
        del host.there[lost]
        async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as after:
            async with after.lease(caller, lost) as lease_after:
                with pytest.raises(ContainerExpired):
                    await lease_after.container()
            assert await use(after, caller, kept) == kept
            assert [row.error_code for row in await executions(database)] == ["interrupted"]
    assert (await history(database, lost))[1:] == [("expired", "the server stopped and its host no longer has it")]


async def test_what_is_known_of_a_container_goes_after_its_retention_if_nothing_else_needs_it(
    database: Database, host: StandInHost, caller: Caller, clock: Clock
) -> None:
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as containers:
        ended = await use(containers, caller)
        async with containers.lease(caller, None) as lease, lease.execution("srvtoolu_1", "bash_code_execution"):
            metered = lease.container_id
        clock.advance(IDLE + 1)
        await containers.sweep()
        alive = await use(containers, caller)
        clock.advance(9 * 86400)
        await use(containers, caller)
        await forget_ended(database, clock() - timedelta(days=10))
        assert len(await history(database, ended)) == 2
        clock.advance(86400 + 1)
        await forget_ended(database, clock() - timedelta(days=10))
        assert metered is not None
        assert [len(await history(database, some)) for some in (ended, metered, alive)] == [0, 2, 1]
        with pytest.raises(NotFound):
            await use(containers, caller, ended)
