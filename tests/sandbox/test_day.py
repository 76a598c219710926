"""A day of random traffic (a quiet night, working hours, bursts, long pauses) on a host whose clock jumps."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, HostFull
from codecove.sandbox.lifecycle import State
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from codecove.sandbox.pool import MAX_AGE_SECONDS, MEMORY_SECONDS, PoolSize
from codecove.sandbox.resident import Resident
from codecove.sandbox.rest import Freezing
from tests.sandbox.simulated import MIB, Machine, SimulatedLoop, Site, simulate
from tests.support.host import host_config

HOUR = 3600.0
DAY = 24 * HOUR
PLACES = 8
IDLE_SLEEP = 300.0
LATE = 3.0
"""Seconds: the host looks every second, and what it does takes a moment."""
FREEZING = Freezing(after=0.5, background_grace=1)
POOL = PoolSize(minimum=1, maximum=6)
CORES = 2


class Day:
    """The traffic of a day, and what must hold at every moment of it."""

    def __init__(self, host: LocalHost, machine: Machine) -> None:
        self.host = host
        self.machine = machine
        self.pick = machine.pick
        self.seen: Counter[str] = Counter()
        self.creating = 0
        self.asked_at = 0.0
        """When a container was last asked for."""
        self.short_since: float | None = None
        self.over_since: float | None = None
        self.under_since: float | None = None
        self.image_changed_at = 0.0
        make = host._standby._make

        async def watched() -> Resident | None:
            assert self.creating == 0, "the pool is filled while somebody waits for a container"
            assert self.busy < CORES, "the pool is filled while all cores are busy"
            self.seen["refills"] += 1
            return await make()

        host._standby._make = watched

    @property
    def busy(self) -> int:
        return sum(site.agent is not None and site.agent.calls > 0 for site in self.machine.sites)

    async def run(self) -> None:
        tasks = [self.visitors(), self.watch(), self.image_change(), self.crashes()]
        work = [asyncio.create_task(task) for task in tasks]
        done, pending = await asyncio.wait(work, timeout=DAY, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        await asyncio.wait(work)
        for task in done:
            task.result()

    async def visitors(self) -> None:
        async with asyncio.TaskGroup() as visits:
            while True:
                # Nobody at night; at times many at once.
                hour = time.monotonic() / HOUR
                await asyncio.sleep(self.pick.expovariate(1 / 240) if hour > 6 else 6 * HOUR)
                for _ in range(1 if self.pick.random() < 0.95 else self.pick.randint(4, 30)):
                    self.seen["visits"] += 1
                    visits.create_task(self.visit(f"c{self.seen['visits']}"))

    async def visit(self, name: str) -> None:
        """One user: some calls, perhaps a long pause and some more, and the end."""
        own = Limits(memory_bytes=256 * MIB) if self.pick.random() < 0.1 else None
        self.creating += 1
        self.asked_at = time.monotonic()
        try:
            await self.host.create(name, own)
        except HostFull:
            self.seen["refused"] += 1
            return
        finally:
            self.creating -= 1
        for sitting in range(self.pick.choice([1, 1, 2, 3])):
            if sitting:
                await asyncio.sleep(self.pick.expovariate(1 / 1500))
            for _ in range(self.pick.randint(1, 4)):
                await asyncio.sleep(self.pick.expovariate(1 / 8))
                await self.call(name)
        if self.pick.random() < 0.9:
            await self.host.delete(name)

    async def call(self, name: str) -> None:
        try:
            await (await self.host.get(name)).stat("/")
            self.seen["calls"] += 1
        except (HostFull, ContainerNotFound):
            self.seen["refused"] += 1
        except ContainerUnavailable as error:
            assert "crash" in str(error), error
            self.seen["crashed"] += 1

    async def crashes(self) -> None:
        while True:
            await asyncio.sleep(self.pick.expovariate(6 / HOUR))
            if len(self.machine.sites) > 2 and (agent := self.pick.choice(self.machine.sites).agent):
                agent.end("a crash")

    async def image_change(self) -> None:
        await asyncio.sleep(15.3 * HOUR)
        self.machine.image = (1, 2)
        self.image_changed_at = time.monotonic()
        await asyncio.sleep(DAY)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self.pick.uniform(1, 15))
            now = time.monotonic()
            for resident in self.host._residents.values():
                self.check(resident, now)
            self.check_room(now)
            self.check_pool(now)

    def check(self, resident: Resident, now: float) -> None:
        container, site = resident.container, cast("Site", resident._site)
        since = container.idle_since
        calls = site.agent.calls if site.agent is not None else 0
        assert since is None or now - since <= IDLE_SLEEP + LATE, "it should sleep by now"
        if container.state is State.IDLE:
            patience = FREEZING.background_grace if container.has_background else FREEZING.after
            assert now - container.last.at <= patience + 0.1, "it should be frozen by now"
        if container.state is State.FROZEN:
            assert site.cgroup.frozen
            assert calls == 0
        if container.state in (State.IDLE, State.BUSY):
            assert not site.cgroup.frozen
        if container.state is State.ASLEEP:
            assert site not in self.machine.sites

    def check_room(self, now: float) -> None:
        awake = len(self.host._awake()) + self.host._room.starting
        assert awake <= PLACES, "more are awake than there are places"
        assert self.machine.available > 0, "they take more than there is"
        short = self.machine.available < self.host._config.memory_reserve and self.host._idle()
        self.short_since = (self.short_since or now) if short else None
        assert self.short_since is None or now - self.short_since < LATE + 15, "idle ones should make room by now"

    def check_pool(self, now: float) -> None:
        filling = self.host._standby._task
        assert filling is not None
        assert not filling.done(), filling
        members = self.host._standby._members
        wanted = self.host._standby.wanted
        assert len(members) <= POOL.maximum
        assert POOL.minimum <= wanted <= POOL.maximum
        self.over_since = (self.over_since or now) if len(members) > wanted else None
        assert self.over_since is None or now - self.over_since < 10 * POOL.maximum + LATE, "the pool does not shrink"
        if now - self.asked_at > MEMORY_SECONDS + 10 * POOL.maximum + LATE:
            assert len(members) <= POOL.minimum, "the pool is not as small as it may be"
        missing = len(members) < wanted and not self.host._room.refusal(self.host.limits.memory_bytes)
        self.under_since = (self.under_since or now) if missing else None
        assert self.under_since is None or now - self.under_since < 10 * POOL.maximum, "the pool is not filled"
        for member in members:
            assert now - member.since < MAX_AGE_SECONDS + 10 + LATE, "an old one stands ready"
            if now - self.image_changed_at > 10 + LATE:
                assert member.image == self.machine.image, "one of an older image stands ready"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
def test_a_day_of_traffic_is_within_all_bounds(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = SimulatedLoop()
    machine = Machine(random.Random(seed), tmp_path, memory=5 * 2**30)
    simulate(monkeypatch, machine, loop)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(CORES)))

    async def a_day() -> Day:
        config = host_config(
            tmp_path, tmp_path, idle_sleep=IDLE_SLEEP, freezing=FREEZING, pool=POOL, max_containers=PLACES
        )
        async with LocalHost(config) as host:
            day = Day(host, machine)
            await day.run()
            counts = host.statistics().counts
            print(day.seen, counts)
            # It has been a day with something of everything.
            assert min(counts.pool_hits, counts.pool_misses, counts.wakes, counts.sleeps, counts.failures["crash"]) > 3
            assert day.seen["calls"] > 20 * day.seen["refused"]
            return day

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(a_day())
    assert machine.sites == []
