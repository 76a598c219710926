"""What a workspace and a key may store, beside the server's own limit."""

from dataclasses import replace

import pytest

from codecove.errors import Forbidden
from codecove.files.service import Files
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.workspaces import Caller, Quotas
from tests.files.support import pieces


async def test_a_workspace_stores_as_much_as_it_may_and_deleting_makes_room(files: Files, caller: Caller) -> None:
    limited = replace(caller, quotas=Quotas(storage_bytes=100))
    first = await files.create(limited, filename="a", data=pieces(bytes(60)))
    with pytest.raises(Forbidden, match="the files and batches of this workspace may take 100 bytes together"):
        await files.create(limited, filename="b", data=pieces(bytes(41)))
    await files.create(limited, filename="b", data=pieces(bytes(40)))
    with pytest.raises(Forbidden):
        await files.create(limited, filename="c", data=pieces(b"x"))
    await files.delete(limited, first.id)
    await files.create(limited, filename="c", data=pieces(bytes(60)))


async def test_a_key_stores_as_much_as_it_may_whatever_its_workspace_has(
    database: Database, files: Files, caller: Caller
) -> None:
    keys = Keys(database)
    made = [(await keys.create(name))[1].id for name in ("one", "two")]
    one, two = (replace(caller, key_id=key_id, key_quotas=Quotas(storage_bytes=100)) for key_id in made)
    first = await files.create(one, filename="a", data=pieces(bytes(100)))
    with pytest.raises(Forbidden, match="the files and batches of this key may take 100 bytes together"):
        await files.create(one, filename="b", data=pieces(b"x"))
    await files.create(two, filename="b", data=pieces(bytes(100)))
    await files.delete(two, first.id)  # whoever deletes it, it is the key's that it came with
    await files.create(one, filename="c", data=pieces(bytes(100)))
