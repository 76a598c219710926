"""The files in a container. All is done as the container's user: it has no paths but its own."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from codecove.clock import isoformat
from codecove.containers.service import Containers
from codecove.direct.failures import sandbox_failures
from codecove.sandbox.host import Container, FileStat
from codecove.workspaces import Caller

MAX_LISTED = 10_000
_MAX_UNSIZED = 2**20
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of one directory, by name."""

    path: str
    entries: list[FileStat]
    truncated: bool
    """It has more."""

    def to_wire(self) -> dict[str, Any]:
        """The directory object."""
        entries = [_entry(stat) for stat in self.entries]
        return {"type": "directory", "path": self.path, "entries": entries, "truncated": self.truncated}


class ContainerFiles:
    """Reads and writes in the containers of the caller's workspace.

    Every method raises `NotFound` for a container that is not there or has ended, and for a path that is not there;
    `Forbidden` for what the container's user may not; `InvalidRequest` for a path of another kind.
    """

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    @asynccontextmanager
    async def opened(
        self, caller: Caller, container_id: str, path: str
    ) -> AsyncIterator[Directory | AsyncIterator[bytes]]:
        """What is at an absolute path: a directory's entries, or a file's bytes.

        The container does not expire within the block.
        """
        async with self._use(caller, container_id) as container:
            with sandbox_failures():
                stat = await container.stat(path)
                if stat.kind == "directory":
                    listing = await container.list_directory(path, limit=MAX_LISTED)
                    entries = sorted(listing.entries, key=lambda entry: entry.name)
                    yield Directory(path, entries, listing.truncated)
                elif stat.size == 0:
                    # Those in /proc have content, and say that they have none.
                    yield _once(await container.read_file(path, limit=_MAX_UNSIZED))
                else:
                    async with aclosing(container.stream_file(path)) as data:
                        yield data

    async def write(self, caller: Caller, container_id: str, path: str, data: AsyncIterable[bytes]) -> dict[str, Any]:
        """Create or replace a file, making directories as needed; the value is its entry, with its `path`.

        If `data` ends with an error, nothing has changed. Raises `TooLarge` when the disk is full.
        """
        async with self._use(caller, container_id) as container:
            with sandbox_failures():
                await container.write_file(path, data)
                return {**_entry(await container.stat(path)), "path": path}

    @asynccontextmanager
    async def _use(self, caller: Caller, container_id: str) -> AsyncIterator[Container]:
        async with self._containers.lease(caller, container_id, on_expired="http_error") as lease:
            with sandbox_failures():
                container = await lease.container()
            yield container


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _entry(stat: FileStat) -> dict[str, Any]:
    return {"type": stat.kind, "name": stat.name, "size_bytes": stat.size, "modified_at": _moment(stat.mtime_ns)}


def _moment(nanoseconds: int) -> str | None:
    """None for what is no year of our calendar: programs may give files any time."""
    try:
        return isoformat(_EPOCH + timedelta(microseconds=nanoseconds // 1000))
    except OverflowError:
        return None
