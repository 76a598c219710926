from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL

from codecove.store.database import Database


@pytest.fixture
async def database(database_url: URL) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database
