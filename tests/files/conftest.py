from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.store.database import Database
from codecove.store.tables import WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.files.support import MOMENT

MAX_SIZE = 12 * 2**20


@pytest.fixture
async def database(database_url: URL) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        async with database.write() as session:
            session.add(WorkspaceRow(id="wrkspc_other", name="other", created_at=MOMENT))
        yield database


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def files(database: Database, blobs: Blobs) -> Files:
    return Files(database=database, blobs=blobs, max_size=MAX_SIZE)


@pytest.fixture
def caller() -> Caller:
    return Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one")


@pytest.fixture
def stranger() -> Caller:
    return Caller(workspace_id="wrkspc_other", key_id="apikey_two")
