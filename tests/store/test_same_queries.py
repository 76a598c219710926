"""An id of another workspace costs the database the same as one that never existed: the same statements."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import URL, event
from sqlalchemy.engine import Engine

from codecove import ids
from codecove.clock import now
from codecove.containers.pages import Asked
from codecove.containers.service import Containers
from codecove.errors import CodecoveError
from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.store.database import Database
from codecove.store.prepared import Prepared, Values
from codecove.store.tables import WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.containers.standin import StandInHost

OWNER = Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one")
STRANGER = Caller(workspace_id="wrkspc_other", key_id="apikey_two")

Parts = tuple[Files, Containers]


@pytest.fixture
async def parts(database_url: URL, tmp_path: Path) -> AsyncIterator[Parts]:
    async with Database(database_url) as database:
        async with database.write() as session:
            session.add(WorkspaceRow(id="wrkspc_other", name="other", created_at=now()))
        files = Files(database=database, blobs=Blobs(tmp_path / "blobs"), max_size=100)
        async with Containers(database=database, host=StandInHost(), idle_expiry=3600) as containers:
            yield files, containers


async def lease(containers: Containers, container_id: str) -> None:
    async with containers.lease(STRANGER, container_id):
        pass


async def content(files: Files, file_id: str) -> None:
    await files.get(STRANGER, file_id)


FILE_CALLS: dict[str, Callable[[Files, str], Awaitable[object]]] = {
    "get": content,
    "delete": lambda files, file_id: files.delete(STRANGER, file_id),
    "list after": lambda files, file_id: files.list(STRANGER, after_id=file_id),
    "list before": lambda files, file_id: files.list(STRANGER, before_id=file_id),
    "list ids": lambda files, file_id: files.list(STRANGER, ids=[file_id]),
}
CONTAINER_CALLS: dict[str, Callable[[Containers, str], Awaitable[object]]] = {
    "lease": lease,
    "get": lambda containers, container_id: containers.catalogue.get(STRANGER, container_id),
    "list": lambda containers, container_id: containers.catalogue.list(STRANGER, Asked(20, None, container_id)),
    "executions": lambda containers, container_id: containers.catalogue.executions(
        STRANGER, container_id, Asked(20, None, None)
    ),
    "delete": lambda containers, container_id: containers.delete(STRANGER, container_id),
}


async def statements(call: Awaitable[object]) -> list[str]:
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    run = Prepared.run

    def noting(prepared: Prepared, connection: sqlite3.Connection, values: Values) -> list[Any]:
        said.append(str(prepared.statement))
        return run(prepared, connection, values)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with patch.object(Prepared, "run", noting), suppress(CodecoveError):
            await call
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert said
    return said


@pytest.mark.parametrize("name", FILE_CALLS)
async def test_of_a_file(parts: Parts, name: str) -> None:
    async def data() -> AsyncIterator[bytes]:
        yield b"x"

    files, _ = parts
    file = await files.create(OWNER, filename="a", data=data())
    call = FILE_CALLS[name]
    assert await statements(call(files, file.id)) == await statements(call(files, ids.new("file")))


@pytest.mark.parametrize("name", CONTAINER_CALLS)
async def test_of_a_container(parts: Parts, name: str) -> None:
    _, containers = parts
    async with containers.lease(OWNER, None) as held:
        container_id = (await held.container()).id
    call = CONTAINER_CALLS[name]
    assert await statements(call(containers, container_id)) == await statements(call(containers, ids.new("container")))
