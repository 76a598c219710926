"""No more containers are awake than memory and places allow, and those who wait for room get it in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox import memory
from codecove.sandbox.admission import Bounds, Use, refusal
from codecove.sandbox.errors import HostFull
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from codecove.sandbox.room import Room
from tests.sandbox.hosts import LIMITS, Shell, becomes
from tests.support.host import host_config

GIB = 2**30
USES = st.lists(st.builds(Use, st.integers(0, GIB), st.just(GIB)), max_size=20)


@given(USES, st.integers(0, 64 * GIB), st.sampled_from([1.0, 4.0, 8.0]))
def test_what_is_let_in_fits_with_what_the_others_may_still_take(
    awake: list[Use], available: int, overcommit: float
) -> None:
    bounds = Bounds(places=100, reserve_bytes=GIB // 4, overcommit=overcommit)
    held = sum(use.limit - use.in_use for use in awake) / overcommit
    fits = available >= held + GIB / overcommit + GIB // 4
    assert (refusal(bounds, awake, limit=GIB, available=available) == "") == fits


def test_places_are_counted_too_and_the_refusal_says_which() -> None:
    bounds = Bounds(places=2, reserve_bytes=0, overcommit=8)
    two = [Use(0, GIB), Use(0, GIB)]
    assert "2 containers already" in refusal(bounds, two, limit=GIB, available=64 * GIB)
    assert "128 MiB are needed" in refusal(bounds, [], limit=GIB, available=100 * 2**20)


def test_the_machine_and_the_servers_own_group_both_bound_what_is_available() -> None:
    meminfo = "MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable: 2048 kB\n"
    assert memory.available(meminfo, float("inf")) == 2048 * 1024
    assert memory.available(meminfo, 1000) == 1000


class Machine:
    """A room over a machine of which a test says what is awake, idle and available."""

    def __init__(self, places: int, patience: float = 5) -> None:
        self.busy = 0
        self.idle = 0
        self.room = Room(
            Bounds(places, 0, 8),
            patience,
            awake=lambda: [Use(0, GIB)] * (self.busy + self.idle),
            available=lambda: 1000 * GIB,
            make=self._make,
        )

    async def _make(self, reason: str) -> bool:
        if not self.idle:
            return False
        self.idle -= 1
        return True

    async def start(self, name: str, order: list[str]) -> None:
        async with self.room.place(GIB):
            order.append(name)
            self.busy += 1


async def test_what_is_idle_gives_up_its_place_at_once() -> None:
    machine = Machine(places=1)
    machine.idle = 1
    async with machine.room.place(GIB):
        assert machine.idle == 0


async def test_places_are_given_in_the_order_asked_and_a_cancelled_wait_takes_none() -> None:
    machine, order = Machine(places=1), list[str]()
    machine.busy = 1
    waiting = [asyncio.create_task(machine.start(name, order)) for name in "abc"]
    await asyncio.sleep(0.01)
    assert machine.room.waiting == 3
    waiting[0].cancel()
    for expected in (["b"], ["b", "c"]):
        machine.busy = 0
        machine.room.changed()
        async with asyncio.timeout(5):
            while order != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert machine.room.waiting == machine.room.starting == 0


async def test_a_wait_in_vain_ends_in_time_for_all() -> None:
    machine, order = Machine(places=1, patience=0.1), list[str]()
    machine.busy = 1
    waiting = [asyncio.create_task(machine.start(name, order)) for name in "abc"]
    async with asyncio.timeout(5):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, HostFull) for result in results)
    assert machine.room.waiting == machine.room.starting == 0


async def test_what_is_being_started_counts() -> None:
    machine = Machine(places=1, patience=0.05)
    async with machine.room.place(GIB):
        with pytest.raises(HostFull):
            async with machine.room.place(GIB):
                pass
        with machine.room.spare_place(GIB) as there_is_room:
            assert not there_is_room


@asynccontextmanager
async def opened(image: Path, directory: Path, **values: int | float) -> AsyncIterator[LocalHost]:
    async with LocalHost(host_config(directory, image, limits=LIMITS, **values)) as host:
        yield host


@pytest.mark.sandbox
async def test_a_container_waits_until_another_has_done_its_work(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path, max_containers=1, admission_wait=30) as host:
        first = Shell(host, await host.create("first"))
        busy = asyncio.create_task(first.output("until [ -e go ]; do sleep 0.1; done; echo done | tee file"))
        await becomes(first.container, State.BUSY)
        second = asyncio.create_task(host.create("second"))
        while host.statistics().waiting == 0:  # noqa: ASYNC110 -- nobody says so
            await asyncio.sleep(0)
        await first.container.write_file("/workspace/go", b"")
        assert await busy == "done\n"
        await second
        assert first.container.state is State.ASLEEP
        assert await first.output("cat file") == "done\n"  # which puts the second one to sleep


@pytest.mark.sandbox
async def test_a_container_that_is_held_does_not_make_room_for_another(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path, max_containers=1, admission_wait=0) as host:
        first = await host.create("first")
        with first.held():
            with pytest.raises(HostFull, match="all are busy"):
                await host.create("second")
            assert not await host.sleep("first")
        await host.create("second")
        assert first.state is State.ASLEEP


@pytest.mark.sandbox
async def test_without_memory_nothing_starts_and_what_is_idle_sleeps(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path) as host:
        await host.create("first")
        await host.sleep("first")
    async with opened(image, tmp_path, memory_reserve=2**50, admission_wait=0.1) as host:
        for attempt in (host.create("second"), host.get("first")):
            with pytest.raises(HostFull, match="memory"):
                await attempt
        assert host.statistics().counts.failures["no_room"] == 2
        assert await host.containers() == {"first"}
    async with opened(image, tmp_path) as host:
        await host.get("first")
