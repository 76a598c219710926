"""A machine that costs nothing, and a clock that jumps to what happens next: a day of a real `LocalHost` in seconds.

Only what would touch the machine is a stand-in: sites, control groups, agents and the premises around them. All that
decides and all that orders (the host, its room and pool, residents, containers, life cycles) is the real thing.
"""

import asyncio
import random
import selectors
import struct
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codecove.sandbox import local, record
from codecove.sandbox.capacity import Capacity
from codecove.sandbox.disk_watch import Unwatched
from codecove.sandbox.errors import ContainerUnavailable
from codecove.sandbox.frames import Request
from codecove.sandbox.place import Place
from codecove.sandbox.processors import Processors, Seat

MIB = 2**20
_STATUS = struct.pack("<IQqQI", 0o40755, 0, 0, 1, 1)


class _Jump(selectors.DefaultSelector):
    """Where an event loop would sleep, the clock is moved instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen again"
        self.now += max(timeout, 0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Threads' work is done at once: nothing else happens meanwhile."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  (it is the caller's)
            done.set_exception(error)
        return done


class Machine:
    """What all containers share."""

    def __init__(self, pick: random.Random, directory: Path, *, memory: int) -> None:
        self.pick = pick
        self.directory = directory
        self.memory = memory
        self.image = (1, 1)
        self.sites: list[Site] = []

    @property
    def available(self) -> int:
        return self.memory - sum(site.cgroup.in_use for site in self.sites)


class Group:
    """A control group: what it has in use wanders while it runs."""

    def __init__(self, machine: Machine) -> None:
        self._pick = machine.pick
        self.in_use = 0
        self.frozen = False
        self.limit = 0
        self.name = "group"

    def memory_in_use(self) -> int:
        self.in_use = min(max(self.in_use + self._pick.randint(-10, 10) * MIB, 15 * MIB), 300 * MIB)
        return self.in_use

    def freeze(self) -> None:
        assert not self.frozen
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def limit_memory(self, size: int) -> None:
        self.limit = size

    def memory_kills(self) -> int:
        return 0

    def has_been_killed(self) -> bool:
        return False

    def processes(self) -> list[int]:
        return []

    def kill(self) -> None:
        self.frozen = False


class Agent:
    """Answers `stat` after a while, and what the host asks for itself at once."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.calls = 0
        self._dead = asyncio.get_running_loop().create_future()
        self._failure: ContainerUnavailable | None = None
        self._on_end: Callable[[], None] = lambda: None

    async def ask(self, kind: Request, *_: Any, **__: Any) -> bytes:
        if kind is not Request.STAT:
            return b""
        self.calls += 1
        try:
            async with asyncio.timeout(self.site.machine.pick.expovariate(5)):
                await asyncio.shield(self._dead)
        except TimeoutError:
            assert not self.site.cgroup.frozen, "frozen in the middle of a call"
            return _STATUS
        finally:
            self.calls -= 1
        raise self.failure()

    async def is_quiet(self) -> bool:
        return True

    def when_ended(self, callback: Callable[[], None]) -> None:
        self._on_end = callback

    def failure(self) -> ContainerUnavailable:
        return self._failure or ContainerUnavailable("it was stopped")

    @property
    def ended(self) -> bool:
        return self._failure is not None

    def end(self, reason: str) -> None:
        if self._failure is None:
            self._failure = ContainerUnavailable(reason)
            self._dead.set_result(None)
            self._on_end()


class Site:
    """Takes as long as the real one, about."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.directory = machine.directory
        self.checkpoint_directory = machine.directory
        self.cgroup = Group(machine)
        self.agent: Agent | None = None
        self.image = machine.image
        self.since = 0.0

    async def create(self, template: Path) -> None:
        await asyncio.sleep(0.005)

    async def boot(self, *_: Any, **__: Any) -> Agent:
        await asyncio.sleep(self.machine.pick.uniform(0.1, 0.4))
        self.machine.sites.append(self)
        self.cgroup.memory_in_use()
        self.agent, self.since = Agent(self), time.monotonic()
        return self.agent

    restore = boot

    async def checkpoint(self) -> str:
        await asyncio.sleep(0.1)
        return "digest"

    async def drop_checkpoint(self) -> None:
        pass

    async def end(self) -> None:
        await asyncio.sleep(0.02)
        self.cgroup.in_use, self.cgroup.frozen, self.agent = 0, False, None
        if self in self.machine.sites:
            self.machine.sites.remove(self)

    destroy = end


class Premises:
    """In the place of `premises.Premises`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.directory = self.templates = machine.directory
        self.groups = SimpleNamespace(remove=lambda: None, existing=list)
        self.ground = SimpleNamespace(
            rootfs=machine.directory, built=None, identity="ground", runtime=SimpleNamespace(checkpoints=True)
        )

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def found(self) -> AsyncIterator[Any]:
        for site in self._machine.sites:
            yield site

    def place(self, site: Any, _: Any) -> Place:
        return Place(site.cgroup, Seat(Processors(frozenset()), site.cgroup, cpus=1), Unwatched())

    def new_site(self) -> Site:
        return Site(self._machine)

    async def template(self, _: Any) -> Path:
        return self.directory

    def disk_refusal(self) -> str:
        return ""

    def check_image(self) -> None:
        pass

    def image(self) -> tuple[int, int]:
        return self._machine.image

    def capacity(self) -> Capacity:
        return Capacity(self._machine.memory, 2**40, 2, 4096)

    def available_memory(self) -> int:
        return self._machine.available


def simulate(patch: pytest.MonkeyPatch, machine: Machine, loop: SimulatedLoop) -> None:
    """From now on a `LocalHost` is on this machine, in this loop's time."""
    patch.setattr(time, "monotonic", loop.time)
    patch.setattr(local, "Premises", lambda _: Premises(machine))
    patch.setattr(record, "write", lambda *_, **__: None)
    patch.setattr(record, "digest", lambda *_: "digest")
