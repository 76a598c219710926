import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from codecove import ids
from codecove.containers.refusal import QuotaExceeded
from codecove.containers.service import Containers
from codecove.errors import NotFound
from codecove.sandbox.errors import ContainerExpired, ContainerLost, ContainerUnavailable, HostFull
from codecove.store.database import Database
from codecove.workspaces import Caller, Quotas
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.containers.support import executions, history, use


async def test_without_use_there_is_no_container(containers: Containers, caller: Caller, host: StandInHost) -> None:
    async with containers.lease(caller, None) as lease:
        assert (lease.container_id, lease.expires_at) == (None, None)
        await lease.remember_call(ids.new("srvtoolu"))
    assert host.there == {}


async def test_the_first_use_makes_a_container_and_the_next_gets_the_same(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock
) -> None:
    async with containers.lease(caller, None) as lease:
        first, second = await asyncio.gather(lease.container(), lease.container())
        assert first is second
        assert lease.container_id == first.id
        assert ids.is_valid("container", first.id)
        assert lease.expires_at == clock.now + timedelta(seconds=IDLE)
    assert list(host.there) == [first.id]


async def test_a_named_container_is_used_again(containers: Containers, caller: Caller, host: StandInHost) -> None:
    container_id = await use(containers, caller)
    assert await use(containers, caller, container_id) == container_id
    assert list(host.there) == [container_id]


async def test_every_use_moves_the_expiry(containers: Containers, caller: Caller, clock: Clock) -> None:
    container_id = await use(containers, caller)
    clock.advance(1000)
    async with containers.lease(caller, container_id) as lease:
        assert lease.expires_at == clock.now + timedelta(seconds=IDLE)
        clock.advance(1000)
        async with lease.execution("srvtoolu_1", "bash_code_execution"):
            clock.advance(1000)
        assert lease.expires_at == clock.now + timedelta(seconds=IDLE)


async def test_an_unknown_container_is_not_found_with_the_remedy(containers: Containers, caller: Caller) -> None:
    unknown = ids.new("container")
    with pytest.raises(NotFound, match=rf"{unknown}.*leave `container` out"):
        await use(containers, caller, unknown)


@pytest.mark.parametrize("malformed", ["", "container_", "a\0b", "\udcff", "x" * 10_000])
async def test_a_malformed_id_is_not_found(containers: Containers, caller: Caller, malformed: str) -> None:
    with pytest.raises(NotFound):
        await use(containers, caller, malformed)


async def test_a_container_of_another_workspace_is_as_if_it_never_existed(
    containers: Containers, caller: Caller, stranger: Caller, clock: Clock
) -> None:
    container_id, unknown = await use(containers, caller), ids.new("container")
    texts = set()
    for asked in (container_id, unknown):
        with pytest.raises(NotFound) as refused:
            await use(containers, stranger, asked)
        texts.add(refused.value.message.replace(asked, "ID"))
    assert len(texts) == 1
    clock.advance(IDLE)
    with pytest.raises(NotFound):
        await use(containers, stranger, container_id)


async def test_a_full_host_is_reported_and_the_request_may_try_again(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    host.create_error = HostFull("100 containers")
    async with containers.lease(caller, None) as lease:
        with pytest.raises(HostFull):
            await lease.container()
        assert lease.container_id is None
        assert host.there == {}
        host.create_error = None
        await lease.container()
    assert len(host.there) == 1


async def test_a_container_that_is_lost_has_failed_for_the_next_request(
    containers: Containers, caller: Caller, host: StandInHost, database: Database
) -> None:
    container_id = await use(containers, caller)
    host.dead.add(container_id)
    for _ in range(2):
        async with containers.lease(caller, container_id) as lease:
            with pytest.raises(ContainerUnavailable, match="leave `container` out"):
                await lease.container()
    assert (await history(database, container_id))[1:] == [("failed", "its disk is gone")]
    assert host.deleted == [container_id]


async def test_a_container_that_is_lost_in_an_execution_has_failed_from_then_on(
    containers: Containers, caller: Caller, host: StandInHost, database: Database
) -> None:
    async with containers.lease(caller, None) as lease:
        container_id = (await lease.container()).id
        with pytest.raises(RuntimeError, match="for the model"):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                raise RuntimeError("for the model") from ContainerLost("the disk is gone")
        with pytest.raises(ContainerUnavailable, match="the disk is gone"):
            await lease.container()
    assert (await history(database, container_id))[1:] == [("failed", "the disk is gone")]
    assert host.there == {}


async def test_a_container_that_dies_in_an_execution_is_there_for_the_next(
    containers: Containers, caller: Caller, host: StandInHost, database: Database
) -> None:
    async with containers.lease(caller, None) as lease:
        container_id = (await lease.container()).id
        with pytest.raises(ContainerUnavailable):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                raise ContainerUnavailable("the sandbox died")
        assert (await lease.container()).id == container_id
    assert len(await history(database, container_id)) == 1


async def test_a_container_that_the_host_lost_has_expired(
    containers: Containers, caller: Caller, host: StandInHost, database: Database
) -> None:
    container_id = await use(containers, caller)
    host.there.clear()
    async with containers.lease(caller, container_id) as lease:
        with pytest.raises(ContainerExpired):
            await lease.container()
    assert (await history(database, container_id))[1:] == [("expired", "its host no longer has it")]


async def test_loaded_files_are_remembered(containers: Containers, caller: Caller) -> None:
    async with containers.lease(caller, None) as lease:
        assert lease.loaded_files == frozenset()
        await lease.container()
        await lease.mark_loaded(["file_a", "file_b"])
        await lease.mark_loaded(["file_b", "file_c"])
        assert lease.loaded_files == {"file_a", "file_b", "file_c"}
        container_id = lease.container_id
    async with containers.lease(caller, container_id) as lease:
        assert lease.loaded_files == {"file_a", "file_b", "file_c"}


async def test_two_requests_may_load_the_same_files_at_once(containers: Containers, caller: Caller) -> None:
    container_id = await use(containers, caller)
    async with containers.lease(caller, container_id) as one, containers.lease(caller, container_id) as two:
        await asyncio.gather(*(lease.mark_loaded(["file_a", "file_b"]) for lease in (one, two)))


async def test_a_pending_call_finds_its_container(containers: Containers, caller: Caller, stranger: Caller) -> None:
    call_id = ids.new("srvtoolu")
    async with containers.lease(caller, None) as lease:
        await lease.container()
        for _ in range(2):
            await lease.remember_call(call_id)
    assert await containers.find_by_call(caller, call_id) == lease.container_id
    assert await containers.find_by_call(stranger, call_id) is None
    assert await containers.find_by_call(caller, ids.new("srvtoolu")) is None
    assert await containers.find_by_call(caller, "srvtoolu_\0") is None


async def test_an_execution_is_recorded(
    containers: Containers, caller: Caller, clock: Clock, database: Database
) -> None:
    async with containers.lease(caller, None) as lease:
        await lease.container()
        async with lease.execution("srvtoolu_1", "bash_code_execution") as record:
            (running,) = await executions(database)
            assert (running.started_at, running.finished_at) == (clock.now, None)
            clock.advance(2)
            record.return_code = 3
    (row,) = await executions(database)
    assert (row.call_id, row.tool, row.container_id) == ("srvtoolu_1", "bash_code_execution", lease.container_id)
    assert (row.return_code, row.error_code, row.finished_at) == (3, None, clock.now)
    assert row.workspace_id == caller.workspace_id
    assert row.microseconds is not None and row.microseconds >= 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContainerExpired("c"), "container_expired"),
        (ValueError(), "unavailable"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_an_execution_that_raises_is_recorded_with_a_code(
    containers: Containers, caller: Caller, database: Database, error: BaseException, code: str
) -> None:
    async with containers.lease(caller, None) as lease:
        await lease.container()
        with pytest.raises(type(error)):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                raise error
    (row,) = await executions(database)
    assert row.error_code == code
    assert row.finished_at is not None


async def test_a_code_that_was_set_is_kept(containers: Containers, caller: Caller, database: Database) -> None:
    async with containers.lease(caller, None) as lease:
        await lease.container()
        with pytest.raises(ValueError, match="for the model"):
            async with lease.execution("srvtoolu_1", "bash_code_execution") as record:
                record.error_code = "execution_time_exceeded"
                raise ValueError("for the model")
    assert [row.error_code for row in await executions(database)] == ["execution_time_exceeded"]


async def test_what_needs_a_container_says_so(containers: Containers, caller: Caller) -> None:
    async with containers.lease(caller, None) as lease:
        with pytest.raises(RuntimeError, match="container"):
            await lease.mark_loaded(["file_a"])


async def test_an_execution_makes_the_container_unless_a_quota_forbids_it(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    none = replace(caller, key_quotas=Quotas(executions=0))
    async with containers.lease(none, None) as lease:
        with pytest.raises(QuotaExceeded, match="This key"):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                pytest.fail("it ran")
        assert (lease.container_id, host.there) == (None, {})
    async with containers.lease(caller, None) as lease, lease.execution("srvtoolu_1", "bash_code_execution"):
        assert list(host.there) == [lease.container_id]
