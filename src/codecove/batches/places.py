"""Who may run next: places for the requests of all batches, given out in turn."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """Places for requests that run at once: so many in all, so many for each workspace.

    Workspaces that wait take turns, whatever the sizes of their batches. Within a workspace: first come, first served.
    """

    def __init__(self, *, total: int, each: int) -> None:
        self._free = total
        self._each = each
        self._running: Counter[str] = Counter()
        self._limits: dict[str, int] = {}
        # The order of the keys is the order of turns.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._closed = False

    @property
    def running(self) -> int:
        """How many places are taken."""
        return self._running.total()

    def close(self) -> None:
        """Give out no more places. Who waits for one goes on waiting."""
        self._closed = True

    @asynccontextmanager
    async def place(self, workspace_id: str, limit: int | None = None) -> AsyncIterator[None]:
        """Hold a place for the time of the block. `limit` is the workspace's own, if it is lower than that of all."""
        self._limits[workspace_id] = self._each if limit is None else min(limit, self._each)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(workspace_id, deque()).append(turn)
        self._hand_out()
        try:
            await turn
            yield
        finally:
            if turn.cancelled() or not turn.done():
                self._leave(workspace_id, turn)
            else:
                self._running[workspace_id] -= 1
                self._free += 1
            self._hand_out()

    def _leave(self, workspace_id: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting[workspace_id]
        queue.remove(turn)
        if not queue:
            del self._waiting[workspace_id]

    def _hand_out(self) -> None:
        while self._free and not self._closed:
            turn = self._next()
            if turn is None:
                return
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        """The waiter whose turn it is, now counted as running."""
        for workspace_id, queue in self._waiting.items():
            turn = next((turn for turn in queue if not turn.done()), None)
            if turn is None or self._running[workspace_id] >= max(self._limits[workspace_id], 1):
                continue
            queue.remove(turn)
            del self._waiting[workspace_id]
            if queue:
                self._waiting[workspace_id] = queue
            self._running[workspace_id] += 1
            self._free -= 1
            return turn
        return None
