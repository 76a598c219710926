"""Looks at what a container's programs use, and has the biggest one killed when `memory.py` decides so."""

import logging
import time

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.exchanges import VictimExchange
from codecove.sandbox.frames import Request
from codecove.sandbox.group import Group
from codecove.sandbox.memory import MemoryGuard
from codecove.sandbox.metering import Meter

_log = logging.getLogger(__name__)


class MemoryWatch:
    """Of one container. `limit` is its documented one, in bytes."""

    def __init__(self, cgroup: Group, meter: Meter, limit: int) -> None:
        self._cgroup = cgroup
        self._meter = meter
        self._guard = MemoryGuard(limit)

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to look at, as long as nothing runs."""
        return self._guard.is_within(self._meter.memory_in_use)

    async def look(self, agent: AgentConnection) -> None:
        """Look once, and act. Raises `OSError` without the control group, and `ContainerUnavailable`."""
        in_use = self._meter.look()
        before = self._guard.hard_limit
        must_kill = self._guard.must_kill(in_use, time.monotonic())
        if self._guard.hard_limit > before:
            self._cgroup.limit_memory(self._guard.hard_limit)
        if not must_kill:
            return
        pid = await agent.ask(Request.KILL_BIGGEST, b"", VictimExchange())
        _log.info("%s: %d MiB in use, killed process %d inside", self._cgroup.name, in_use >> 20, pid)
        if pid == 0:
            self._guard.nothing_to_kill(in_use)
            self._cgroup.limit_memory(self._guard.hard_limit)
