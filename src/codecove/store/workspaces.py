"""The workspaces of a database, and what each may use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from codecove import clock, ids
from codecove.errors import Forbidden, InvalidRequest, NotFound
from codecove.store.audit import note
from codecove.store.database import Database
from codecove.store.finish import to_the_end
from codecove.store.quotas import container_limits_of, put_container_limits, put_quotas, quotas_of
from codecove.store.tables import BatchRow, ContainerRow, FileRow, KeyRow, WorkspaceRow
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller, ContainerLimits, Quotas

_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace, and what it and each of its containers may use."""

    id: str
    name: str
    created_at: datetime
    quotas: Quotas
    container_limits: ContainerLimits
    stored_bytes: int = 0
    """The sizes of its files and of the requests of its batches, summed."""


class Workspaces:
    """Makes, lists and finds workspaces. A workspace is named by its id or its name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def create(self, name: str, quotas: Quotas, limits: ContainerLimits = ContainerLimits()) -> Workspace:  # noqa: B008 -- it can't be changed
        """Raises `InvalidRequest` for a name that is taken or can't be one."""
        _check_name(name)
        row = WorkspaceRow(id=ids.new("wrkspc"), name=name, created_at=clock.now())
        put_quotas(quotas, row)
        put_container_limits(limits, row)
        try:
            async with self._database.write() as session:
                session.add(row)
                details = {"name": name, **quotas.to_dict(), **limits.to_dict()}
                note(session, "workspace.create", row.id, workspace_id=row.id, details=details)
        except IntegrityError as error:
            raise _taken(name) from error
        return _workspace(row)

    @to_the_end
    async def rename(self, named: str, name: str) -> Workspace:
        """Raises `NotFound`, and `InvalidRequest` for a name that is taken or can't be one, and for `default`."""
        _check_name(name)
        try:
            async with self._database.write() as session:
                row = await _not_default(session, named)
                note(session, "workspace.rename", row.id, workspace_id=row.id, details={"from": row.name, "to": name})
                row.name = name
        except IntegrityError as error:
            raise _taken(name) from error
        return _workspace(row)

    @to_the_end
    async def delete(self, named: str, *, force: bool = False) -> Workspace:
        """Its keys open nothing any more; a server, running or the next, removes its containers, files and batches.

        Raises `NotFound`, and `InvalidRequest` for `default` and, unless `force`, for one that is not empty.
        """
        now = clock.now()
        async with self._database.write() as session:
            row = await _not_default(session, named)
            contents = await _contents(session, row.id, now)
            if any(contents.values()) and not force:
                has = ", ".join(f"{number} {what}" for what, number in contents.items() if number)
                raise InvalidRequest(f"workspace {row.name!r} is not empty: it has {has}")
            details = {"name": row.name, **contents}
            note(session, "workspace.delete", row.id, workspace_id=row.id, details=details)
            await session.execute(
                update(KeyRow).where(KeyRow.workspace_id == row.id, KeyRow.revoked_at.is_(None)).values(revoked_at=now)
            )
            await session.execute(update(FileRow).where(FileRow.workspace_id == row.id).values(expires_at=now))
            deleted = _workspace(row)
            # The name is free again; nobody else's can have the form of an id.
            row.name, row.deleted_at = row.id, now
        return deleted

    @to_the_end
    async def list(self) -> Sequence[Workspace]:
        """All of them, oldest first."""
        async with self._database.read() as session:
            rows = await session.scalars(
                select(WorkspaceRow)
                .where(WorkspaceRow.deleted_at.is_(None))
                .order_by(WorkspaceRow.created_at, WorkspaceRow.id)
            )
            return [_workspace(row) for row in rows]

    @to_the_end
    async def get(self, named: str) -> Workspace:
        """Raises `NotFound`."""
        async with self._database.read() as session:
            row = await session.scalar(select(WorkspaceRow).where(_is(named)))
        if row is None:
            raise _not_found(named)
        return _workspace(row)

    @to_the_end
    async def set_quotas(
        self,
        named: str,
        change: Callable[[Quotas], Quotas],
        change_limits: Callable[[ContainerLimits], ContainerLimits] = lambda limits: limits,
    ) -> Workspace:
        """Change what it may use from now on, also for a server that runs. Raises `NotFound`.

        Containers that are there keep the limits that they were made with.
        """
        async with self._database.write() as session:
            row = await _locked(session, named)
            put_quotas(change(quotas_of(row)), row)
            limits = change_limits(container_limits_of(row))
            put_container_limits(limits, row)
            details = {**quotas_of(row).to_dict(), **limits.to_dict()}
            note(session, "workspace.set", row.id, workspace_id=row.id, details=details)
        return _workspace(row)

    async def enter(self, caller: Caller, named: str) -> Caller:
        """The caller as one of another workspace. Raises `Forbidden` if its key is not an admin's, `NotFound`."""
        if caller.role != "admin":
            raise Forbidden("x-cove-workspace: only the key of an admin may work in another workspace")
        workspace = await self.get(named)
        await self._note_entry(caller, workspace.id)
        return replace(
            caller,
            workspace_id=workspace.id,
            quotas=workspace.quotas,
            container_limits=workspace.container_limits,
        )

    @to_the_end
    async def _note_entry(self, caller: Caller, workspace_id: str) -> None:
        async with self._database.write() as session:
            note(session, "workspace.enter", workspace_id, workspace_id=workspace_id, caller=caller)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable() or ids.is_valid("wrkspc", name):
        raise InvalidRequest(f"name: 1 to {_MAX_NAME} printable characters, and not the form of an id")


def _taken(name: str) -> InvalidRequest:
    return InvalidRequest(f"name: there is a workspace {name!r} already")


def _is(named: str) -> ColumnElement[bool]:
    return and_(or_(WorkspaceRow.id == named, WorkspaceRow.name == named), WorkspaceRow.deleted_at.is_(None))


async def _locked(session: AsyncSession, named: str) -> WorkspaceRow:
    row = await session.scalar(select(WorkspaceRow).where(_is(named)).with_for_update(key_share=True))
    if row is None:
        raise _not_found(named)
    return row


async def _not_default(session: AsyncSession, named: str) -> WorkspaceRow:
    row = await _locked(session, named)
    if row.id == DEFAULT_WORKSPACE_ID:
        raise InvalidRequest("the workspace 'default' can be neither renamed nor deleted: every server has it")
    return row


async def _contents(session: AsyncSession, workspace_id: str, now: datetime) -> dict[str, int]:
    """How many running containers, files and unfinished batches it has."""
    containers = select(func.count()).where(ContainerRow.workspace_id == workspace_id, ContainerRow.state == "running")
    files = select(func.count()).where(
        FileRow.workspace_id == workspace_id, or_(FileRow.expires_at.is_(None), FileRow.expires_at > now)
    )
    batches = select(func.count()).where(
        BatchRow.workspace_id == workspace_id, BatchRow.state.in_(("creating", "in_progress", "canceling"))
    )
    counted = {"running containers": containers, "files": files, "unfinished batches": batches}
    return {what: await session.scalar(query) or 0 for what, query in counted.items()}


def _not_found(named: str) -> NotFound:
    return NotFound(f"workspace: there is no workspace {named!r}")


def _workspace(row: WorkspaceRow) -> Workspace:
    return Workspace(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        quotas=quotas_of(row),
        container_limits=container_limits_of(row),
        stored_bytes=row.storage_bytes or 0,
    )
