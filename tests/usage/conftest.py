from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL

from codecove.store.database import Database
from codecove.store.tables import WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.containers.standin import Clock, StandInHost


@pytest.fixture
async def database(database_url: URL) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        async with database.write() as session:
            session.add(WorkspaceRow(id="wrkspc_other", name="other", created_at=Clock().now))
        yield database


@pytest.fixture
def host() -> StandInHost:
    return StandInHost()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def caller() -> Caller:
    return Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one", request_id="req_one")


@pytest.fixture
def stranger() -> Caller:
    return Caller(workspace_id="wrkspc_other", key_id="apikey_two", request_id="req_two")
