"""Keeping a container to its disk where the kernel does not: by looking how much there is, and ending what writes.

To count takes a while, so it is done now and then, and at once when the host's file system has lost as much as the
container could still write: then it is held where it is meanwhile. Over a limit all of the user's processes are killed,
and until there is less again programs start with a largest size of files of 0: they can delete and not write. Far over
a limit none starts.
"""

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from pathlib import Path
from typing import NamedTuple

from codecove.sandbox import commands, guestfiles
from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError, SandboxError
from codecove.sandbox.exchanges import FileExchange
from codecove.sandbox.frames import UNLIMITED, Answer, Request
from codecove.sandbox.group import Group
from codecove.sandbox.process_tree import unlinked_bytes

_log = logging.getLogger(__name__)

_INTERVAL = 0.025
"""Seconds between two looks at the file system."""
_PAUSE = 2.0
"""Seconds between two counts, at most."""
_REST = 2
"""After a count there is none for so many times as long as it took."""
_GROWTH_BYTES, _GROWTH_INODES = 2**20, 64
"""What a full disk has more than when processes were last killed for it, before they are killed again."""
_REMAINDER = 2**20
"""Bytes: a single file ends before the disk is full, as directories take some too."""
_MARGIN = 2**30, 2**16
"""Bytes and inodes over the limits, or as much as the limits again if that is more: nothing runs where there are."""
# What vanishes while it is counted is no error.
_COUNT = 'du --summarize --block-size=1 "$0" 2>/dev/null; du --summarize --inodes "$0" 2>/dev/null; :'


class Room(NamedTuple):
    """On a disk: what is taken, free or allowed."""

    bytes: int
    inodes: int

    def exceeds(self, other: "Room") -> bool:
        """In one of the two."""
        return self.bytes > other.bytes or self.inodes > other.inodes


class Unwatched:
    """A disk that the kernel holds to its limits."""

    file_size = UNLIMITED
    """The largest file that a program may write, in bytes."""

    async def begin(self) -> None:
        """A program is about to be started. Raises `ContainerUnavailable` if there is far too much."""

    def was_in_the_way(self) -> bool:
        """Whether the limit has been, since then."""
        return False

    def checked(self, path: str, data: AsyncIterable[bytes] | bytes) -> AsyncIterable[bytes] | bytes:
        """What is to be written to `path`, as long as there is room: then ends in `GuestFileError`, ENOSPC."""
        return data

    @contextlib.asynccontextmanager
    async def watched(self, agent: AgentConnection) -> AsyncGenerator[None, None]:
        """Hold it to its limits within the block."""
        yield


class DiskWatch(Unwatched):
    """Of one container, whose disk is a directory."""

    def __init__(self, directory: Path, group: Group, most_bytes: int, most_inodes: int) -> None:
        self._directory = directory
        self._group = group
        self._limit = Room(most_bytes, most_inodes)
        self._used = Room(0, 0)
        self._free_then = Room(0, 0)
        self._not_before = self._at_latest = 0.0
        self._killed_at: Room | None = None
        """What was used when processes were last killed. None: there is room."""
        self._was_in_the_way = False

    @property
    def file_size(self) -> int:  # type: ignore[override]
        """See `Unwatched`."""
        return self._limit.bytes - _REMAINDER if self._killed_at is None else 0

    async def begin(self) -> None:
        """See `Unwatched`."""
        await self._look_again()
        most = Room(*(limit + max(limit, margin) for limit, margin in zip(self._limit, _MARGIN, strict=True)))
        if self._used.exceeds(most):
            raise ContainerUnavailable("its disk holds far more than it may: delete the container")
        self._was_in_the_way = self._killed_at is not None

    def was_in_the_way(self) -> bool:
        """See `Unwatched`."""
        return self._was_in_the_way

    async def checked(self, path: str, data: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
        """See `Unwatched`."""
        await self._look_again()
        parts = guestfiles.parts(data)
        while self._killed_at is None:
            part = await anext(parts, None)
            if part is None:
                return
            yield part
        raise GuestFileError(errno.ENOSPC, path)

    @contextlib.asynccontextmanager
    async def watched(self, agent: AgentConnection) -> AsyncGenerator[None, None]:
        """See `Unwatched`."""
        watching = asyncio.create_task(self._watch(agent), name=f"watch {self._directory}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, agent: AgentConnection) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                now = time.monotonic()
                if self._is_suspect(now):
                    await self._look(agent, hold=True)
                elif now >= self._at_latest:
                    await self._look(agent, hold=False)
            except (SandboxError, OSError) as error:
                if agent.ended:
                    return
                _log.warning("%s could not be looked at: %s", self._directory, error)
                self._not_before = self._at_latest = time.monotonic() + _PAUSE

    def _is_suspect(self, now: float) -> bool:
        """Whether it may be over a limit by now."""
        if now < self._not_before:
            return False
        free = self._free()
        lost = Room(self._free_then.bytes - free.bytes, self._free_then.inodes - free.inodes)
        left = Room(*(max(most - used, 0) for most, used in zip(self._limit, self._used, strict=True)))
        return lost.exceeds(left)

    async def _look(self, agent: AgentConnection, *, hold: bool) -> None:
        """Count, and kill if there is more than may be. With `hold` nothing of it runs meanwhile.

        Raises `SandboxError`, `OSError`.
        """
        order = None
        if hold:
            self._group.freeze()
        try:
            await self._count()
            if self._has_grown_too_large():
                # Before it runs on, so that this is the first thing that the agent does then.
                order = FileExchange("", Answer.DONE)
                agent.send(Request.KILL_ALL, b"", order)
                self._killed_at, self._was_in_the_way = self._used, True
        finally:
            if hold:
                self._group.thaw()
        if order is not None:
            await agent.answer(Request.KILL_ALL, order)
            await self._count()
            self._killed_at = self._used if self._used.exceeds(self._limit) else None
            used = self._used
            _log.info("%s: all processes inside were killed at %s: the limit is %s", self._directory, used, self._limit)

    def _has_grown_too_large(self) -> bool:
        before = self._killed_at
        if before is None:
            return self._used.exceeds(self._limit)
        return self._used.exceeds(Room(before.bytes + _GROWTH_BYTES, before.inodes + _GROWTH_INODES))

    def _free(self) -> Room:
        # Of a file system that makes inodes as they are needed the second says nothing: then it is counted in time.
        status = os.statvfs(self._directory)
        return Room(status.f_bavail * status.f_frsize, status.f_ffree)

    async def _look_again(self) -> None:
        """If it was full: something may have been deleted. Raises `ContainerUnavailable`."""
        if self._killed_at is not None:
            try:
                await self._count()
            except OSError as error:
                raise ContainerUnavailable("its disk could not be looked at", detail=str(error)) from error

    async def _count(self) -> None:
        """How much there is. Raises `ContainerUnavailable`, `OSError`."""
        began, self._free_then = time.monotonic(), self._free()
        lines = (await commands.run(["sh", "-c", _COUNT, str(self._directory)])).splitlines()
        if len(lines) != 2:
            raise ContainerUnavailable("its disk is gone")
        unlinked = await asyncio.to_thread(lambda: unlinked_bytes(self._group.processes()))
        now = time.monotonic()
        self._not_before = now + _REST * (now - began)
        self._at_latest = max(now + _PAUSE, self._not_before)
        taken, inodes = (int(line.split()[0]) for line in lines)
        self._used = Room(taken + unlinked, inodes)
        if not self._used.exceeds(self._limit):
            self._killed_at = None
