"""What becomes of that which belonged to a workspace when it is deleted."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from codecove import clock
from codecove.containers.service import Containers
from codecove.errors import InvalidRequest, NotFound, Unauthenticated
from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.files.upkeep import Upkeep
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.store.workspaces import Workspaces
from codecove.workspaces import Caller, Quotas
from tests.containers.standin import StandInHost


async def data() -> AsyncIterator[bytes]:
    yield b"x"


async def test_keys_containers_and_files_go_with_it_and_the_name_is_free(
    database: Database, containers: Containers, host: StandInHost, tmp_path: Path
) -> None:
    workspaces, keys, blobs = Workspaces(database), Keys(database), Blobs(tmp_path / "blobs")
    files = Files(database=database, blobs=blobs, max_size=100)
    made = await workspaces.create("research", Quotas())
    secret, key = await keys.create("k", workspace_id=made.id)
    caller = Caller(workspace_id=made.id, key_id=key.id)
    async with containers.lease(caller, None) as lease:
        container_id = (await lease.container()).id
    file = await files.create(caller, filename="a", data=data())
    with pytest.raises(InvalidRequest, match="1 running containers, 1 files"):
        await workspaces.delete("research")

    async with containers.lease(caller, container_id):
        await workspaces.delete("research", force=True)
        await containers.sweep()
        assert container_id in host.there  # somebody uses it
    with pytest.raises(Unauthenticated):
        await keys.authenticate(secret)
    with pytest.raises(NotFound):
        await files.get(caller, file.id)
    with pytest.raises(NotFound, match="deleted meanwhile"):
        await files.create(caller, filename="late", data=data())
    await containers.sweep()
    assert container_id not in host.there
    later = clock.now() + timedelta(seconds=1)
    async with Upkeep(database=database, blobs=blobs, now=lambda: later):
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    for named in ("research", made.id):
        with pytest.raises(NotFound):
            await workspaces.get(named)
    assert (await workspaces.create("research", Quotas())).id != made.id


async def test_a_workspace_gets_another_name_and_default_keeps_its_own(database: Database) -> None:
    workspaces = Workspaces(database)
    made = await workspaces.create("research", Quotas())
    assert (await workspaces.rename("research", "physics")).id == made.id
    assert (await workspaces.get("physics")).id == made.id
    for named, name, error in (("research", "x", NotFound), ("physics", "other", InvalidRequest)):
        with pytest.raises(error):
            await workspaces.rename(named, name)
    with pytest.raises(InvalidRequest, match="default"):
        await workspaces.rename("default", "x")
    with pytest.raises(InvalidRequest, match="default"):
        await workspaces.delete("default", force=True)
