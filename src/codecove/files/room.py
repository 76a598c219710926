"""How much more a caller may store."""

from dataclasses import dataclass

from codecove.errors import Forbidden
from codecove.workspaces import Caller


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are left under the narrowest quota."""

    left: int
    quota: int
    whose: str

    def check(self, size: int) -> None:
        """Raises `Forbidden` if so many bytes do not fit."""
        if size > self.left:
            raise Forbidden(
                f"file: the files of {self.whose} may take {self.quota:,} bytes together, "
                "and there is no room for this one"
            )


def room(caller: Caller, *, quota: int, workspace_has: int, key_has: int) -> Room:
    """What is left. `quota` is the server's for each workspace, `…_has` the bytes that are stored already."""
    rooms = [Room(quota - workspace_has, quota, "a workspace")]
    has = {"workspace": workspace_has, "key": key_has}
    for kind, _, quotas in caller.limits:
        if (limit := quotas.storage_bytes) is not None:
            rooms.append(Room(limit - has[kind], limit, f"this {kind}"))
    return min(rooms, key=lambda room: room.left)
