import re

import pytest
from sqlalchemy import text

from codecove.errors import NotFound, Unauthenticated
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.workspaces import DEFAULT_WORKSPACE_ID


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


async def test_a_new_key_opens_the_default_workspace(keys: Keys) -> None:
    secret, key = await keys.create("laptop")
    assert re.fullmatch(r"cove-[A-Za-z0-9_-]{43}", secret)
    caller = await keys.authenticate(secret)
    assert (caller.workspace_id, caller.key_id) == (DEFAULT_WORKSPACE_ID, key.id)


@pytest.mark.parametrize("secret", ["", "cove-", "cove-" + "x" * 43, "schlüssel", "\udcff", "\0"])
async def test_an_unknown_secret_opens_nothing(keys: Keys, secret: str) -> None:
    await keys.create("laptop")
    with pytest.raises(Unauthenticated):
        await keys.authenticate(secret)


async def test_a_key_is_no_secret_and_neither_is_what_is_stored(keys: Keys, database: Database) -> None:
    secret, key = await keys.create("laptop")
    assert secret not in repr(key)
    async with database.read() as session:
        stored = str((await session.execute(text("SELECT * FROM api_keys"))).all())
    assert secret not in stored
    assert key.id in stored


async def test_a_revoked_key_opens_nothing_any_more(keys: Keys) -> None:
    secret, key = await keys.create("laptop")
    other, _ = await keys.create("server")
    await keys.revoke(key.id)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(secret)
    await keys.authenticate(other)


async def test_revoking_again_keeps_the_first_time(keys: Keys) -> None:
    _, key = await keys.create("laptop")
    await keys.revoke(key.id)
    (first,) = await keys.list()
    await keys.revoke(key.id)
    (second,) = await keys.list()
    assert first.revoked_at == second.revoked_at is not None


async def test_revoking_an_unknown_key_says_so(keys: Keys) -> None:
    with pytest.raises(NotFound, match="apikey_nothing"):
        await keys.revoke("apikey_nothing")


async def test_the_list_is_in_order_of_creation(keys: Keys) -> None:
    for name in ("a", "b", "c"):
        await keys.create(name)
    assert [key.name for key in await keys.list()] == ["a", "b", "c"]


async def test_a_key_from_the_settings_is_made_once(keys: Keys) -> None:
    for _ in range(2):
        await keys.ensure("any string at all")
    caller = await keys.authenticate("any string at all")
    (key,) = await keys.list()
    assert (key.id, key.from_settings, key.revoked_at) == (caller.key_id, True, None)


async def test_a_changed_key_in_the_settings_replaces_the_earlier_one_only(keys: Keys) -> None:
    made, _ = await keys.create("laptop")
    await keys.ensure("earlier")
    await keys.ensure("later")
    with pytest.raises(Unauthenticated):
        await keys.authenticate("earlier")
    await keys.authenticate("later")
    await keys.authenticate(made)
    await keys.ensure("earlier")
    await keys.authenticate("earlier")


async def test_a_key_taken_out_of_the_settings_opens_nothing_any_more(keys: Keys) -> None:
    await keys.ensure("earlier")
    await keys.ensure(None)
    with pytest.raises(Unauthenticated):
        await keys.authenticate("earlier")
