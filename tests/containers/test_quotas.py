import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from codecove import ids
from codecove.containers.refusal import QuotaExceeded
from codecove.containers.service import Containers
from codecove.sandbox.errors import ContainerUnavailable
from codecove.store.database import Database
from codecove.workspaces import Caller, Quotas
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.containers.support import history, use


def limited(caller: Caller, **quotas: int) -> Caller:
    return replace(caller, quotas=Quotas(**quotas))


async def test_containers_being_made_count(containers: Containers, caller: Caller, host: StandInHost) -> None:
    two = limited(caller, containers=2)
    first = await use(containers, two)
    host.creating.close()
    second = asyncio.create_task(use(containers, two))
    await host.creating.reached.wait()
    with pytest.raises(QuotaExceeded, match="2 containers"):
        await use(containers, two)
    host.creating.open()
    assert set(host.there) == {first, await second}


async def test_of_many_at_once_exactly_the_quota_get_one(
    containers: Containers, caller: Caller, host: StandInHost
) -> None:
    results = await asyncio.gather(
        *(use(containers, limited(caller, containers=3)) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 3
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 7
    assert len(host.there) == 3


async def test_a_place_is_free_again_after_a_failure_an_expiry_and_a_deletion(
    containers: Containers, caller: Caller, host: StandInHost, clock: Clock
) -> None:
    one = limited(caller, containers=1)
    host.create_error = ContainerUnavailable("it does not boot")
    with pytest.raises(ContainerUnavailable):
        await use(containers, one)
    host.create_error = None
    container_id = await use(containers, one)
    clock.advance(100)
    with pytest.raises(QuotaExceeded) as refused:
        await use(containers, one)
    assert refused.value.retry_after == IDLE - 100
    await containers.delete(one, container_id)
    await use(containers, one)
    clock.advance(IDLE)
    await containers.sweep()
    await use(containers, one)


async def test_a_quota_of_one_workspace_is_not_anothers(
    containers: Containers, caller: Caller, stranger: Caller
) -> None:
    await use(containers, limited(caller, containers=1))
    await use(containers, limited(stranger, containers=1))


async def test_executions_at_once(containers: Containers, caller: Caller, stranger: Caller) -> None:
    one, other = limited(caller, executions=1), limited(stranger, executions=1)
    async with containers.lease(one, None) as lease, containers.lease(other, None) as others:
        await lease.container()
        await others.container()
        for _ in range(2):
            async with lease.execution(ids.new("srvtoolu"), "bash_code_execution"):
                with pytest.raises(QuotaExceeded, match="1 executions"):
                    async with lease.execution(ids.new("srvtoolu"), "bash_code_execution"):
                        pytest.fail("it ran")
                async with others.execution(ids.new("srvtoolu"), "bash_code_execution"):
                    pass


async def test_expiry_in_answers_is_never_after_the_age(caller: Caller, containers: Containers, clock: Clock) -> None:
    created_at = clock.now
    async with containers.lease(caller, None) as lease:
        await lease.container()
        clock.advance(30 * 86400 - 10)
        async with lease.execution(ids.new("srvtoolu"), "bash_code_execution"):
            pass
        assert lease.expires_at == created_at + timedelta(days=30)


async def test_containers_of_batches_give_way_to_others_until_somebody_names_them(
    containers: Containers, caller: Caller, stranger: Caller, host: StandInHost, clock: Clock, database: Database
) -> None:
    async def batched(who: Caller) -> str:
        clock.advance(1)
        async with containers.lease(who, None, gives_way=True) as lease:
            return (await lease.container()).id

    two = limited(caller, containers=2)
    others = await batched(limited(stranger, containers=1))
    oldest, newer = await batched(two), await batched(two)
    await use(containers, two, oldest)  # its client works on with it
    newest = await batched(two)  # and a batch may have as many requests as it likes
    assert set(host.there) == {others, oldest, newest}
    assert (await history(database, newer))[-1] == ("expired", "it gave way to another one of its workspace")
    async with containers.lease(two, None, gives_way=True) as lease:
        held = (await lease.container()).id
        with pytest.raises(QuotaExceeded):
            await use(containers, two)
    own = await use(containers, two)
    assert set(host.there) == {others, oldest, own}
    assert held not in host.there
    with pytest.raises(QuotaExceeded):
        await batched(two)


async def test_nothing_is_remembered_of_callers_that_use_nothing(containers: Containers, caller: Caller) -> None:
    many = limited(caller, containers=9, executions=9, execution_seconds_per_day=900)
    async with containers.lease(many, None) as lease, lease.execution("srvtoolu_1", "bash", at_most=3):
        pass
    admission = containers._fleet.admission
    kept = (admission._creating, admission._executing, admission._budget._reserved)
    assert [len(each) for each in kept] == [0, 0, 0]
