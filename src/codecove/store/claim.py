"""One server at a time for a PostgreSQL database: two would each end the other's containers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from codecove.store.finish import finish

SERVING = 0x636F7665
"""Key of the advisory lock that a server holds while it runs (`cove`)."""
MIGRATING = 0x636F7666
"""Key of the one that is held while migrating."""

_TRIES = 5
_PAUSE = 0.3


class DatabaseInUse(Exception):
    """Another server runs on this database."""


@asynccontextmanager
async def hold(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold the lock, on a connection of its own. It goes with the connection, however the process ends."""
    connection = await finish(engine.execution_options(isolation_level="AUTOCOMMIT").connect().start())
    try:
        if not await _taken(connection):
            raise DatabaseInUse("another server is using this database; stop it, or give this one another database")
        yield
    finally:
        await finish(connection.invalidate())
        await finish(connection.close())


async def _taken(connection: AsyncConnection) -> bool:
    """PostgreSQL may need a moment to see that a server which was killed is gone."""
    for _ in range(_TRIES):
        if await finish(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": SERVING})):
            return True
        await asyncio.sleep(_PAUSE)
    return False
