"""What a workspace can see of its containers, without using them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import ids
from codecove.clock import isoformat
from codecove.containers.pages import Asked, Cursor, Page, fetch
from codecove.containers.policy import Expiry, Times
from codecove.errors import InvalidRequest, NotFound
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.tables import ContainerEventRow, ContainerRow, ContainerState, ExecutionRow
from codecove.workspaces import Caller

NOT_FOUND = "Container not found"
"""How the message of such a 404 begins: by it Pydantic AI knows that it may ask again without the container."""


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """What is known of a container."""

    id: str
    state: ContainerState
    created_at: datetime
    last_active_at: datetime
    expires_at: datetime
    """When it expires if nothing more happens to it; when it ended, if it has."""

    def to_wire(self) -> dict[str, Any]:
        """The container object."""
        return {
            "type": "container",
            "id": self.id,
            "state": self.state,
            "created_at": isoformat(self.created_at),
            "last_active_at": isoformat(self.last_active_at),
            "expires_at": isoformat(self.expires_at),
        }


class Catalogue:
    """The containers of the workspaces as records. Looking at one is no activity of it."""

    def __init__(
        self, database: Database, *, expiry: Expiry, leased: Collection[str], now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._expiry = expiry
        self._leased = leased
        self._now = now

    @to_the_end
    async def list(self, caller: Caller, asked: Asked, state: ContainerState | None = None) -> Page:
        """The containers that were not deleted, newest first; those in `state` only if that is given."""
        query = select(ContainerRow).where(
            ContainerRow.workspace_id == caller.workspace_id, ContainerRow.state != "deleted"
        )
        if state is not None:
            query = query.where(ContainerRow.state == state)
        async with self._database.read() as session:
            cursor = await _container_cursor(session, caller, asked)
            rows, has_more = await fetch(session, query, asked, ContainerRow.created_at, ContainerRow.id, cursor)
        # One that is due is expired before the sweep has written it.
        found = [self._info(row) for row in rows]
        return Page([info.to_wire() for info in found if state in (None, info.state)], has_more)

    @to_the_end
    async def get(self, caller: Caller, container_id: str) -> dict[str, Any]:
        """The container object, with `events`: each change of its state and the reason. Raises `NotFound`."""
        async with self._database.read() as session:
            row = await _find(session, caller, container_id)
            events = await session.scalars(
                select(ContainerEventRow)
                .where(ContainerEventRow.container_id == container_id)
                .order_by(ContainerEventRow.sequence)
            )
            recorded = [{"at": isoformat(event.at), "state": event.state, "reason": event.reason} for event in events]
            return {**self._info(row).to_wire(), "events": recorded}

    @to_the_end
    async def executions(self, caller: Caller, container_id: str, asked: Asked) -> Page:
        """What ran in a container, newest first: when, how long, and how it ended. Raises `NotFound`."""
        query = select(ExecutionRow).where(ExecutionRow.container_id == container_id)
        async with self._database.read() as session:
            await _find(session, caller, container_id)
            cursor = await _execution_cursor(session, container_id, asked)
            rows, has_more = await fetch(session, query, asked, ExecutionRow.started_at, ExecutionRow.id, cursor)
        return Page([_execution(row) for row in rows], has_more)

    def _info(self, row: ContainerRow) -> ContainerInfo:
        times = Times(row.created_at, row.last_active_at)
        state = row.state
        if state == "running" and row.id not in self._leased and self._expiry.is_due(times, self._now()):
            state = "expired"
        return ContainerInfo(
            id=row.id,
            state=state,
            created_at=row.created_at,
            last_active_at=row.last_active_at,
            expires_at=row.ended_at or self._expiry.at(times),
        )


def not_found(container_id: str) -> NotFound:
    """The same for an id that never existed and for another workspace's."""
    return NotFound(f"{NOT_FOUND}: there is no {container_id!r}; leave `container` out to get a new one")


async def _find(session: AsyncSession, caller: Caller, container_id: str) -> ContainerRow:
    row = None
    if ids.is_valid("container", container_id):
        row = await session.scalar(
            select(ContainerRow).where(
                ContainerRow.id == container_id,
                ContainerRow.workspace_id == caller.workspace_id,
                ContainerRow.state != "deleted",
            )
        )
    if row is None:
        raise not_found(container_id)
    return row


async def _container_cursor(session: AsyncSession, caller: Caller, asked: Asked) -> Cursor | None:
    """Deleted containers are good cursors: a list that is being read goes on after one is deleted."""
    parameter, wanted = _wanted(asked)
    if wanted is None:
        return None
    row = None
    if ids.is_valid("container", wanted):
        row = await session.scalar(
            select(ContainerRow).where(ContainerRow.id == wanted, ContainerRow.workspace_id == caller.workspace_id)
        )
    if row is None:
        raise InvalidRequest(f"{parameter}: there is no container {wanted!r}")
    return row.created_at, row.id


async def _execution_cursor(session: AsyncSession, container_id: str, asked: Asked) -> Cursor | None:
    parameter, wanted = _wanted(asked)
    if wanted is None:
        return None
    row = None
    if wanted.isascii() and wanted.isalnum():
        row = await session.scalar(
            select(ExecutionRow).where(ExecutionRow.id == wanted, ExecutionRow.container_id == container_id)
        )
    if row is None:
        raise InvalidRequest(f"{parameter}: there is no execution {wanted!r} of this container")
    return row.started_at, row.id


def _wanted(asked: Asked) -> tuple[str, str | None]:
    return ("before_id", asked.before_id) if asked.before_id is not None else ("after_id", asked.after_id)


def _execution(row: ExecutionRow) -> dict[str, Any]:
    return {
        "type": "execution",
        "id": row.id,
        "call_id": row.call_id,
        "name": row.tool,
        "started_at": isoformat(row.started_at),
        "finished_at": None if row.finished_at is None else isoformat(row.finished_at),
        "seconds": None if row.microseconds is None else row.microseconds / 1_000_000,
        "return_code": row.return_code,
        "error_code": row.error_code,
    }
