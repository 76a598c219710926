"""Whether anybody has a key."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from codecove.app import CannotStart, database_path, open_database
from codecove.doctor.finding import Finding, bad, good, warning
from codecove.settings import Settings
from codecove.store.keys import Keys


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the settings and, where there is one, into the database."""
    keys = 0
    if settings.database_url is not None or database_path(settings).exists():
        try:
            async with AsyncExitStack() as stack:
                known = await Keys(await open_database(settings, stack)).list()
        except CannotStart as error:
            yield bad("database", str(error), "see COVE_DATABASE_URL in docs/settings.md")
            return
        keys = sum(key.revoked_at is None and not key.from_settings for key in known)
    if settings.api_key is not None:
        yield good("access", f"COVE_API_KEY, and {keys} keys made by `cove keys create`")
    elif keys:
        yield good("access", f"{keys} keys made by `cove keys create`")
    else:
        yield warning("access", "no API key: every request will be refused", "cove keys create NAME")
