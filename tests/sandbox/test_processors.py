"""On which processors programs run."""

import asyncio
import contextlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.processors import Processors
from tests.sandbox.hosts import Shell

several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")


@given(st.lists(st.booleans(), max_size=50), st.sets(st.integers(0, 100), min_size=2, max_size=8))
def test_programs_are_spread_evenly(comings: list[bool], available: set[int]) -> None:
    processors = Processors(available)
    running: list[int] = []
    for comes in comings:
        if comes or not running:
            taken = processors.take(None)
            assert taken is not None
            assert running.count(taken) == min(running.count(other) for other in available)
            running.append(taken)
        else:
            processors.leave(running.pop(0))


@given(st.sets(st.integers(0, 100), min_size=2, max_size=8), st.data())
def test_a_container_stays_where_it_was_if_that_is_as_good(available: set[int], data: st.DataObject) -> None:
    processors = Processors(available)
    last = data.draw(st.sampled_from(sorted(available)))
    assert processors.take(last) == last
    assert processors.take(last) != last


@pytest.mark.parametrize("available", [set[int](), {3}])
def test_without_a_choice_nothing_is_bound(available: set[int]) -> None:
    assert Processors(available).take(None) is None


def affinities(container: LocalContainer) -> set[frozenset[int]]:
    found = set()
    for pid in container.host_processes():
        with contextlib.suppress(ProcessLookupError):
            found.add(frozenset(os.sched_getaffinity(pid)))
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@several
@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_a_program_that_takes_long_and_one_in_the_background_may_run_on_every_processor(own_shell: Shell) -> None:
    everywhere = {frozenset(os.sched_getaffinity(0))}
    await own_shell.output("true")
    running = asyncio.create_task(own_shell.output("sleep 2"))
    await asyncio.sleep(0.5)
    await until(lambda: affinities(own_shell.container) == everywhere)
    await running
    await own_shell.output("sleep 60 > /dev/null 2>&1 &")
    assert affinities(own_shell.container) == everywhere
    await own_shell.output("pkill sleep")


@several
@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_short_programs_of_two_containers_begin_on_different_processors(
    own_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "runsc" not in own_shell.host.directory.name:
        pytest.skip("with the host's kernel nothing is bound")
    monkeypatch.setattr("codecove.sandbox.processors._SHORT_SECONDS", 60.0)  # however slow this machine is now
    other = await own_shell.host.create("test-processors-other")
    try:
        both = Shell(own_shell.host, other)
        await asyncio.gather(own_shell.output("sleep 0.05"), both.output("sleep 0.05"))
        bound = [affinities(container) for container in (own_shell.container, other)]
        assert all(len(one) == 1 and len(next(iter(one))) == 1 for one in bound)
        assert bound[0] != bound[1]
    finally:
        await own_shell.host.delete(other.id)
