"""What an execution costs the database: a change that adds a transaction to each should be meant."""

from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, event

from codecove.containers.service import Containers
from codecove.store.blocking import Blocking
from codecove.workspaces import Caller
from tests.containers.standin import Clock
from tests.containers.support import use

CALL = "srvtoolu_1"


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How many have begun."""
    counted, run = Counter[str](), Blocking._run

    def begin(_: Connection) -> None:
        counted["begun"] += 1

    def counting(self: Blocking, *arguments: Any) -> Awaitable[Any]:
        counted["begun"] += 1
        return run(self, *arguments)

    monkeypatch.setattr(Blocking, "_run", counting)
    event.listen(Engine, "begin", begin)
    yield counted
    event.remove(Engine, "begin", begin)


@pytest.fixture
def looks(database_url: URL) -> int:
    """How many it takes to look at a container: SQLite is read on a connection that stays open."""
    return 0 if database_url.get_backend_name() == "sqlite" else 1


async def test_an_execution_in_a_named_container_is_two_and_a_look(
    containers: Containers, caller: Caller, transactions: Counter[str], looks: int
) -> None:
    """One looks at the container, one is before what runs, and one after it."""
    container_id = await use(containers, caller)
    transactions.clear()
    async with containers.lease(caller, container_id) as lease, lease.execution(CALL, "bash_code_execution"):
        assert transactions["begun"] == looks + 1
    assert transactions["begun"] == looks + 2


async def test_a_request_that_ends_later_says_so(
    containers: Containers, caller: Caller, clock: Clock, transactions: Counter[str], looks: int
) -> None:
    container_id = await use(containers, caller)
    transactions.clear()
    async with containers.lease(caller, container_id) as lease:
        async with lease.execution(CALL, "bash_code_execution"):
            pass
        clock.advance(1)
    assert transactions["begun"] == looks + 3
