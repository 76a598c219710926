"""What is written about a container with every request: statements that are made once, for transactions of many."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Insert, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from codecove.store.database import Change
from codecove.store.prepared import Prepared, Transaction
from codecove.store.tables import CallRow, ContainerRow

_CHANGE_RUNNING = Prepared(
    update(ContainerRow).where(ContainerRow.id == bindparam("container"), ContainerRow.state == "running")
)


def _either(added: sqlite.Insert | postgresql.Insert) -> Insert:
    return added.on_conflict_do_update(index_elements=["call_id"], set_={"container_id": added.excluded.container_id})


_ADD_CALL = Prepared(_either(postgresql.insert(CallRow)), on_sqlite=_either(sqlite.insert(CallRow)))


def active(container_ids: Iterable[str], now: datetime) -> Change:
    """Those of the containers that are running were active at `now`."""
    # In one order, so that two transactions never wait for each other.
    rows = [{"container": container_id, "last_active_at": now} for container_id in sorted(container_ids)]

    def change(transaction: Transaction) -> None:
        for row in rows:
            transaction.run(_CHANGE_RUNNING, row)

    return change


def add_call(call_id: str, container_id: str) -> Change:
    """A call runs in the container, or is to run there later; it may have been named before."""

    return lambda transaction: transaction.run(_ADD_CALL, {"call_id": call_id, "container_id": container_id})
