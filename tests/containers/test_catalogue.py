import asyncio

import pytest

from codecove import ids
from codecove.containers.pages import Asked
from codecove.containers.service import Containers
from codecove.errors import InvalidRequest, NotFound
from codecove.sandbox.errors import ContainerUnavailable
from codecove.workspaces import Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock, StandInHost
from tests.containers.support import use


async def listed(containers: Containers, caller: Caller, asked: Asked | None = None) -> list[str]:
    return [entry["id"] for entry in (await containers.catalogue.list(caller, asked or Asked())).data]


async def test_pages_have_each_container_once_also_those_of_one_moment(
    containers: Containers, caller: Caller, stranger: Caller, clock: Clock
) -> None:
    made = {await use(containers, caller) for _ in range(4)}
    clock.advance(1)
    made |= {await use(containers, caller) for _ in range(3)}
    await use(containers, stranger)
    everything = await listed(containers, caller)
    assert set(everything) == made
    seen: list[str] = []
    while True:
        page = await containers.catalogue.list(caller, Asked(limit=2, after_id=seen[-1] if seen else None))
        seen += [entry["id"] for entry in page.data]
        if not page.has_more:
            break
        # What comes and goes meanwhile changes nothing for the rest.
        clock.advance(1)
        await use(containers, caller)
        await containers.delete(caller, seen[-1])
    assert seen == everything
    assert await listed(containers, caller, Asked(before_id=everything[2])) != []


async def test_pages_in_the_other_direction_are_in_the_same_order(
    containers: Containers, caller: Caller, clock: Clock
) -> None:
    for _ in range(5):
        await use(containers, caller)
        clock.advance(1)
    newest_first = await listed(containers, caller)
    page = await containers.catalogue.list(caller, Asked(limit=2, before_id=newest_first[4]))
    assert ([entry["id"] for entry in page.data], page.has_more) == (newest_first[2:4], True)
    page = await containers.catalogue.list(caller, Asked(limit=2, before_id=newest_first[2]))
    assert ([entry["id"] for entry in page.data], page.has_more) == (newest_first[:2], False)


async def test_one_that_is_due_is_shown_as_expired_before_anybody_has_noticed(
    containers: Containers, caller: Caller, clock: Clock
) -> None:
    container_id = await use(containers, caller)
    clock.advance(IDLE)
    assert (await containers.catalogue.get(caller, container_id))["state"] == "expired"
    async with containers.lease(caller, await use(containers, caller)) as lease:
        clock.advance(IDLE)
        assert lease.container_id is not None
        assert (await containers.catalogue.get(caller, lease.container_id))["state"] == "running"


async def test_looking_is_no_activity(containers: Containers, caller: Caller, clock: Clock) -> None:
    container_id = await use(containers, caller)
    before = await containers.catalogue.get(caller, container_id)
    clock.advance(IDLE / 2)
    await containers.catalogue.list(caller, Asked())
    assert await containers.catalogue.get(caller, container_id) == before


async def test_a_deleted_container_is_gone_for_everybody_also_for_a_request_that_holds_it(
    containers: Containers, caller: Caller, stranger: Caller, host: StandInHost
) -> None:
    container_id = await use(containers, caller)
    with pytest.raises(NotFound):
        await containers.delete(stranger, container_id)
    async with containers.lease(caller, container_id) as lease:
        await containers.delete(caller, container_id)
        assert host.there == {}
        with pytest.raises(ContainerUnavailable, match="deleted"):
            await lease.container()
    for gone in (containers.delete(caller, container_id), containers.catalogue.get(caller, container_id)):
        with pytest.raises(NotFound):
            await gone
    with pytest.raises(NotFound):
        await use(containers, caller, container_id)
    assert await listed(containers, caller) == []


async def test_what_has_expired_can_be_deleted_and_only_once(
    containers: Containers, caller: Caller, clock: Clock
) -> None:
    container_id = await use(containers, caller)
    clock.advance(IDLE)
    await containers.sweep()
    results = await asyncio.gather(*(containers.delete(caller, container_id) for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "NotFound", "NotFound"]


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1001}, {"before_id": "a", "after_id": "b"}])
def test_what_can_not_be_asked(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        Asked(**wrong)  # type: ignore[arg-type]


async def test_cursors_of_another_workspace_are_unknown(
    containers: Containers, caller: Caller, stranger: Caller
) -> None:
    container_id = await use(containers, caller)
    with pytest.raises(InvalidRequest, match=f"after_id.*{container_id}"):
        await containers.catalogue.list(stranger, Asked(after_id=container_id))
    call = ids.new("srvtoolu")
    async with containers.lease(caller, container_id) as lease:
        await lease.container()
        async with lease.execution(call, "bash_code_execution"):
            pass
    page = await containers.catalogue.executions(caller, container_id, Asked())
    assert [entry["call_id"] for entry in page.data] == [call]
    with pytest.raises(NotFound):
        await containers.catalogue.executions(stranger, container_id, Asked())
