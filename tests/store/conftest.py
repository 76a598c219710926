from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.store.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{tmp_path}/codecove.db") as database:
        yield database
