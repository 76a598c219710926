"""On which processors containers run."""

import asyncio
import contextlib
import os
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox.cgroup import Cgroup, detect
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.limits import Limits
from codecove.sandbox.processors import Look, Processors, Seat, better, busy
from tests.sandbox.hosts import LIMITS, Shell, new_name

several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
AVAILABLE = st.sets(st.integers(0, 100), min_size=2, max_size=8)
SHARES = st.floats(0, 1)


@given(st.lists(st.booleans(), max_size=50), AVAILABLE)
def test_programs_are_spread_evenly(comings: list[bool], available: set[int]) -> None:
    processors = Processors(available)
    running: list[int] = []
    for comes in comings:
        if comes or not running:
            taken = processors.take(None)
            assert running.count(taken) == min(running.count(other) for other in available)
            running.append(taken)
        else:
            processors.leave(running.pop(0))


@given(AVAILABLE, st.data())
def test_a_container_stays_where_it_was_if_that_is_as_good(available: set[int], data: st.DataObject) -> None:
    processors = Processors(available)
    last = data.draw(st.sampled_from(sorted(available)))
    assert processors.take(last) == last
    assert processors.take(last) != last


def looks(shares: dict[int, float], own: float) -> tuple[Look, Look]:
    """One second apart; `own` is the container's share of the processor that it is on."""
    return Look(10, dict.fromkeys(shares, 5.0), 1), Look(
        11, {name: 5 + share for name, share in shares.items()}, 1 + own
    )


@given(st.dictionaries(st.integers(0, 9), SHARES, min_size=2), st.data())
def test_a_container_moves_only_where_clearly_less_is_done_for_others(
    shares: dict[int, float], data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from(sorted(shares)))
    own = data.draw(st.floats(0, shares[current]))
    chosen = better(current, *looks(shares, own))
    if chosen is None:
        assert shares[current] - own <= min(shares.values()) + 0.2501
    else:
        assert shares[chosen] == pytest.approx(min(share for name, share in shares.items() if name != current))
        assert shares[chosen] < shares[current] - own - 0.2499


def test_one_that_has_a_processor_for_itself_stays_however_busy_it_is() -> None:
    assert better(0, *looks({0: 1.0, 1: 0.0}, own=1.0)) is None


def test_one_that_shares_its_processor_goes_to_a_free_one() -> None:
    assert better(0, *looks({0: 1.0, 1: 0.1}, own=0.5)) == 1


def test_time_that_the_machine_was_not_given_counts_as_work() -> None:
    text = "cpu  9 9 9 9\ncpu0 100 100 100 7000 9000 100 100 200 0 0\ncpu1 0 0 0 5 5 0 0 0 0 0\nintr 5\n"
    ticks = os.sysconf("SC_CLK_TCK")
    assert busy(text, {0, 1, 7}) == {0: 700 / ticks, 1: 0}
    assert busy(text, {1}) == {1: 0}


@several
def test_a_processor_that_was_taken_away_is_no_error() -> None:
    chosen: list[set[int]] = []

    class Group(Cgroup):
        def use_processors(self, processors: AbstractSet[int]) -> None:
            os.sched_setaffinity(0, everywhere & processors)
            chosen.append(set(processors))

    everywhere = os.sched_getaffinity(0)
    seat = Seat(Processors({1000, 1001}), Group(detect(), "/none"), cpus=1)
    try:
        seat.take()
    finally:
        os.sched_setaffinity(0, everywhere)
    assert chosen == [everywhere]
    seat.leave()


def affinities(container: LocalContainer) -> set[frozenset[int]]:
    found = set()
    for pid in container.host_processes():
        with contextlib.suppress(ProcessLookupError):
            found.add(frozenset(os.sched_getaffinity(pid)))
    return found


def under_gvisor(shell: Shell) -> None:
    if "runsc" not in shell.host.directory.name:
        pytest.skip("with the host's kernel nothing is bound")


def statistics(first: int, seconds: float) -> str:
    """Of a machine on which something else takes twice what the `first` processor has, and nothing the others."""
    ticks = int(seconds * 2 * os.sysconf("SC_CLK_TCK"))
    others = sorted(os.sched_getaffinity(0))
    return "".join(f"cpu{one} {ticks if one == first else 0} 0 0 0 0 0 0 0 0 0\n" for one in others)


@several
@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_a_program_leaves_a_processor_on_which_something_else_works(
    own_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_gvisor(own_shell)
    await own_shell.output("true")
    ((first,),) = affinities(own_shell.container)
    file = tmp_path / "stat"
    file.write_text(statistics(first, 0))
    monkeypatch.setattr("codecove.sandbox.processors._STATISTICS", file)
    running = asyncio.create_task(own_shell.python("while True: pass", timeout=30))
    try:
        async with asyncio.timeout(20):
            began = time.monotonic()
            while affinities(own_shell.container) == {frozenset({first})}:
                file.write_text(statistics(first, time.monotonic() - began))
                await asyncio.sleep(0.05)
        assert all(first not in one for one in affinities(own_shell.container))
    finally:
        running.cancel()
        await asyncio.wait([running])


@several
@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_programs_of_two_containers_begin_on_different_processors(own_shell: Shell) -> None:
    under_gvisor(own_shell)
    other = await own_shell.host.create(new_name())
    try:
        both = Shell(own_shell.host, other)
        await asyncio.gather(own_shell.output("sleep 0.1"), both.output("sleep 0.1"))
        bound = [affinities(container) for container in (own_shell.container, other)]
        assert all(len(one) == 1 and len(next(iter(one))) == 1 for one in bound)
        assert bound[0] != bound[1]
    finally:
        await own_shell.host.delete(other.id)


@several
@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_a_container_that_may_use_two_processors_is_not_bound(own_shell: Shell) -> None:
    wide = await own_shell.host.create(new_name(), Limits(cpus=2, disk_bytes=LIMITS.disk_bytes))
    try:
        await Shell(own_shell.host, wide).output("true")
        assert affinities(wide) == {frozenset(os.sched_getaffinity(0))}
    finally:
        await own_shell.host.delete(wide.id)


@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_threads_are_batch_work_with_late_timers_under_gvisor_alone(shell: Shell) -> None:
    """Where programs talk to the host's kernel they are scheduled, and their timers as exact, as on the host."""
    under_gvisor = "runsc" in shell.host.directory.name
    expected = (os.SCHED_BATCH, "500000\n") if under_gvisor else _scheduled(os.getpid())
    assert {_scheduled(pid) for pid in shell.container.host_processes()} == {expected}


def _scheduled(pid: int) -> tuple[int, str]:
    return os.sched_getscheduler(pid), Path(f"/proc/{pid}/timerslack_ns").read_text()
