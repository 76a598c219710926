"""How many containers stand ready, and that those that do are as good as fresh ones."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from codecove.sandbox.pool import BURST_SECONDS, MEMORY_SECONDS, Demand, PoolSize, is_calm
from tests.sandbox.hosts import LIMITS, Shell
from tests.sandbox.traces import calm, grown, traces
from tests.support.host import host_config


def demand(*moments: float) -> Demand:
    made = Demand()
    for moment in moments:
        made.note(moment)
    return made


def test_without_demand_only_the_minimum_stands_ready() -> None:
    assert Demand().wanted(PoolSize(0, 4), now=0) == 0
    assert Demand().wanted(PoolSize(2, 4), now=0) == 2


def test_the_largest_burst_counts_and_not_the_sum() -> None:
    assert demand(0, 100, 200).wanted(PoolSize(0, 9), now=200) == 1
    assert demand(0, 1, 2, 100).wanted(PoolSize(0, 9), now=200) == 3


def test_demand_is_forgotten() -> None:
    assert demand(0, 1, 2).wanted(PoolSize(1, 9), now=MEMORY_SECONDS + 3) == 1


MOMENTS = st.integers(0, 40_000).map(lambda number: number / 4)
"""Of which sums and differences are exact."""


@given(st.lists(MOMENTS, max_size=50), st.integers(0, 5), st.integers(0, 5), MOMENTS)
def test_it_stays_between_the_bounds_and_no_burst_is_larger(
    moments: list[float], low: int, high: int, later: float
) -> None:
    ordered, now = sorted(moments), max([*moments, later])
    wanted = demand(*ordered).wanted(PoolSize(low, low + high), now)
    assert low <= wanted <= low + high
    recent = [moment for moment in ordered if moment > now - MEMORY_SECONDS]
    largest = max((sum(first <= m < first + BURST_SECONDS for m in recent) for first in recent), default=0)
    assert wanted == min(max(largest, low), low + high)


@pytest.mark.parametrize(
    ("waiting", "starting", "busy", "calm"), [(0, 0, 0, True), (0, 0, 1, True), (0, 0, 2, False), (1, 0, 0, False)]
)
def test_one_is_made_only_when_that_delays_nobody(waiting: int, starting: int, busy: int, calm: bool) -> None:
    assert is_calm(waiting=waiting, starting=starting, busy=busy, cores=2) is calm
    assert not is_calm(waiting=waiting, starting=starting + 1, busy=busy, cores=2)


@asynccontextmanager
async def pooled(image: Path, directory: Path, *, minimum: int = 1, maximum: int = 2) -> AsyncIterator[LocalHost]:
    config = host_config(directory, image, limits=LIMITS, pool=PoolSize(minimum, maximum), max_containers=4)
    async with LocalHost(config) as host:
        yield host


async def ready(host: LocalHost, count: int) -> None:
    async with asyncio.timeout(30):
        while host.statistics().pool_size != count:  # noqa: ASYNC110  (a host tells nobody of its pool)
            await asyncio.sleep(0.05)


SEEN = (
    "id; ps -eo args= | sort; env | sort; find /workspace /tmp /files /home | sort; df --output=size /workspace; ls /"
)


@pytest.mark.sandbox
async def test_one_of_the_pool_is_as_a_fresh_one_and_used_once(image: Path, tmp_path: Path) -> None:
    async with pooled(image, tmp_path) as host:
        fresh = Shell(host, await host.create("fresh", replace(LIMITS, cpus=0.9)))
        await ready(host, 1)
        assert await host.containers() == {"fresh"}
        first = Shell(host, await host.create("first"))
        assert host.statistics().counts.pool_hits == 1
        assert await first.output(SEEN) == await fresh.output(SEEN)
        await first.output("echo mine > /workspace/mine")
        await host.delete("first")
        await ready(host, 1)
        second = Shell(host, await host.create("second"))
        assert await second.output("ls /workspace") == ""
        assert host.statistics().counts.pool_hits == 2
        assert host.statistics().counts.pool_misses == 0


@pytest.mark.sandbox
async def test_one_of_the_pool_survives_a_restart_once_it_has_an_id_and_the_rest_is_removed(
    image: Path, tmp_path: Path
) -> None:
    async with pooled(image, tmp_path) as host:
        await ready(host, 1)
        shell = Shell(host, await host.create("one"))
        await shell.output("echo kept > file")
        await ready(host, 1)
    async with pooled(image, tmp_path, minimum=0) as host:
        assert await host.containers() == {"one"}
        assert len(list((tmp_path / "containers").iterdir())) == 1
        shell = Shell(host, await host.get("one"))
        assert await shell.output("cat file") == "kept\n"


@pytest.mark.sandbox
async def test_the_pool_leaves_nothing_and_a_dead_member_is_replaced(image: Path, tmp_path: Path) -> None:
    config = host_config(tmp_path, image, limits=LIMITS, pool=PoolSize(1, 1))
    host = LocalHost(config)
    before = await calm(host)
    async with host:
        await ready(host, 1)
        (group,) = host.control_groups()
        pids = Path(f"/sys/fs/cgroup/pids{group}/cgroup.procs")
        if not pids.exists():
            pids = Path(f"/sys/fs/cgroup{group}/cgroup.procs")
        for pid in pids.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(0.2)  # one that dies while it is given away fails as any other that dies
        container = await host.create("one")
        assert (await container.run(["true"], env={}, timeout=9)).return_code == 0
        assert container.state is not State.FAILED
    assert await grown(host, before, directories=traces(host)["directories"]) == {}


@pytest.mark.sandbox
async def test_the_pool_makes_room_for_containers(image: Path, tmp_path: Path) -> None:
    async with pooled(image, tmp_path, minimum=2, maximum=2) as host:
        await ready(host, 2)
        # With other limits none of the pool will do, and at most four may be awake.
        for number in range(4):
            await host.create(f"c{number}", replace(LIMITS, cpus=0.9))
        assert host.statistics().containers[State.ASLEEP] == 0
        assert host.statistics().pool_size == 0
