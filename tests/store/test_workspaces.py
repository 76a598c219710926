from dataclasses import replace

import pytest

from codecove.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.store.workspaces import Workspaces
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Quotas


@pytest.fixture
def workspaces(database: Database) -> Workspaces:
    return Workspaces(database)


async def test_a_workspace_is_found_by_name_and_by_id(workspaces: Workspaces) -> None:
    made = await workspaces.create("Zuhause", Quotas(containers=3))
    assert await workspaces.get("Zuhause") == await workspaces.get(made.id) == made
    assert [found.name for found in await workspaces.list()] == ["default", "Zuhause"]
    assert (await workspaces.get("default")).id == DEFAULT_WORKSPACE_ID


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\0", "wrkspc_01" + "0" * 22, "default"])
async def test_a_name_that_is_taken_or_none_is_refused(workspaces: Workspaces, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await workspaces.create(name, Quotas())


async def test_a_key_opens_its_workspace_with_the_quotas_of_now(workspaces: Workspaces, database: Database) -> None:
    made = await workspaces.create("Zuhause", Quotas())
    secret, _ = await Keys(database).create("laptop", workspace_id=made.id)
    assert (await Keys(database).authenticate(secret)).workspace_id == made.id
    await workspaces.set_quotas("Zuhause", lambda _: Quotas(executions=2, requests_per_minute=5))
    caller = await Keys(database).authenticate(secret)
    assert caller.quotas == Quotas(executions=2, requests_per_minute=5)


async def test_a_key_has_quotas_of_its_own(workspaces: Workspaces, database: Database) -> None:
    await workspaces.create("Zuhause", Quotas())
    keys = Keys(database)
    secret, key = await keys.create("laptop", quotas=Quotas(containers=1))
    changed = await keys.set_quotas(key.id, lambda before: replace(before, storage_bytes=10))
    assert changed.quotas == Quotas(containers=1, storage_bytes=10)
    caller = await keys.authenticate(secret)
    assert (caller.quotas, caller.key_quotas) == (Quotas(), changed.quotas)
    with pytest.raises(NotFound):
        await keys.set_quotas("apikey_x", lambda before: before)


async def test_only_an_admin_enters_another_workspace(workspaces: Workspaces, database: Database) -> None:
    made = await workspaces.create("Zuhause", Quotas(containers=1))
    admin = await Keys(database).authenticate((await Keys(database).create("operator", role="admin"))[0])
    entered = await workspaces.enter(admin, "Zuhause")
    assert (entered.workspace_id, entered.key_id, entered.quotas) == (made.id, admin.key_id, Quotas(containers=1))
    with pytest.raises(NotFound):
        await workspaces.enter(admin, "nowhere")
    user = await Keys(database).authenticate((await Keys(database).create("laptop"))[0])
    for named in ("Zuhause", "nowhere", "default"):
        with pytest.raises(Forbidden):
            await workspaces.enter(user, named)
    with pytest.raises(NotFound):
        await workspaces.set_quotas("nowhere", lambda before: before)


async def test_the_key_of_the_settings_is_a_users(database: Database) -> None:
    await Keys(database).ensure("given by the operator")
    assert (await Keys(database).authenticate("given by the operator")).role == "user"
    with pytest.raises(Unauthenticated):
        await Keys(database).authenticate("another")
