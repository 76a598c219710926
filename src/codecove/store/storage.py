"""What workspaces and keys store, files and batches, and how much more they may."""

from dataclasses import dataclass, replace

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from codecove.errors import Forbidden
from codecove.store.tables import KeyRow, WorkspaceRow
from codecove.workspaces import Caller


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are left under the narrowest quota."""

    left: int
    quota: int
    whose: str

    def check(self, size: int, what: str = "file") -> None:
        """Raises `Forbidden` if so many bytes do not fit. `what` is the field that brought them."""
        if size > self.left:
            raise Forbidden(
                f"{what}: the files and batches of {self.whose} may take {self.quota:,} bytes together, "
                "and there is no room for this one"
            )

    def without(self, size: int) -> "Room":
        """What is left after so many bytes. Raises `Forbidden` if they do not fit."""
        self.check(size)
        return replace(self, left=self.left - size)


def room(caller: Caller, *, quota: int, workspace_has: int, key_has: int) -> Room:
    """What is left. `quota` is the server's for each workspace, `…_has` the bytes that are stored already."""
    rooms = [Room(quota - workspace_has, quota, "a workspace")]
    has = {"workspace": workspace_has, "key": key_has}
    for kind, _, quotas in caller.limits:
        if (limit := quotas.storage_bytes) is not None:
            rooms.append(Room(limit - has[kind], limit, f"this {kind}"))
    return min(rooms, key=lambda room: room.left)


async def locked_room(session: AsyncSession, caller: Caller, quota: int) -> Room:
    """What the caller has left; nobody else stores anything in the workspace until the transaction ends."""
    return await room_beside(session, caller, quota, await lock(session, caller.workspace_id))


async def room_beside(session: AsyncSession, caller: Caller, quota: int, used: int) -> Room:
    """What the caller has left, where its workspace stores `used` bytes."""
    of_key = await session.scalar(select(KeyRow.storage_bytes).where(KeyRow.id == caller.key_id))
    return room(caller, quota=quota, workspace_has=used, key_has=of_key or 0)


async def lock(session: AsyncSession, workspace_id: str) -> int:
    """Wait for one's turn with what the workspace stores. Returns how many bytes it does."""
    used = await session.scalar(
        select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == workspace_id).with_for_update(key_share=True)
    )
    return used or 0


async def account(session: AsyncSession, workspace_id: str, key_id: str | None, size: int) -> None:
    """So many bytes more are stored; less than 0: no longer are. To be called with the workspace locked."""
    for table, owner in ((WorkspaceRow, workspace_id), (KeyRow, key_id)):
        await session.execute(update(table).where(table.id == owner).values(storage_bytes=table.storage_bytes + size))
