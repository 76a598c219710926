from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL

from codecove.containers.service import Containers
from codecove.store.database import Database
from codecove.store.tables import WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.containers.standin import Clock, StandInHost

IDLE = 3600.0


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
async def containers(database: Database, host: StandInHost, clock: Clock) -> AsyncIterator[Containers]:
    async with Containers(database=database, host=host, idle_expiry=IDLE, now=clock) as containers:
        yield containers


@pytest.fixture
def caller() -> Caller:
    return Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one")


@pytest.fixture
def stranger() -> Caller:
    return Caller(workspace_id="wrkspc_other", key_id="apikey_two")
