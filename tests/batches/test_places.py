"""Who may run next: limits are exact, and no workspace waits for the whole of another's batch."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from codecove.batches.places import Places


class Workers:
    """Requests that hold their places until they are let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.begun: list[str] = []
        self._release = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    def add(self, workspace: str, number: int = 1, limit: int | None = None) -> None:
        for _ in range(number):
            self.tasks.append(asyncio.create_task(self._work(workspace, limit)))

    async def _work(self, workspace: str, limit: int | None) -> None:
        async with self.places.place(workspace, limit):
            self.begun.append(workspace)
            await self._release.acquire()

    async def settle(self, release: int = 0) -> None:
        for _ in range(release):
            self._release.release()
        for _ in range(60):
            await asyncio.sleep(0)


async def test_limits_are_held() -> None:
    workers = Workers(Places(total=5, each=3))
    workers.add("a", 10)
    workers.add("b", 10, limit=1)
    await workers.settle()
    assert Counter(workers.begun) == {"a": 3, "b": 1}
    assert workers.places.running == 4
    await workers.settle(release=20)
    assert Counter(workers.begun) == {"a": 10, "b": 10}


async def test_a_small_batch_does_not_wait_for_a_large_one() -> None:
    workers = Workers(Places(total=2, each=2))
    workers.add("large", 1000)
    await workers.settle()
    workers.add("small", 5)
    await workers.settle(release=12)
    assert workers.begun.count("small") == 5
    assert workers.begun[2:12].count("small") == 5, "they take turns"
    for task in workers.tasks:
        task.cancel()
    await asyncio.wait(workers.tasks)
    assert workers.places.running == 0


async def test_a_closed_one_gives_out_nothing() -> None:
    workers = Workers(Places(total=1, each=1))
    workers.add("a", 3)
    await workers.settle()
    workers.places.close()
    await workers.settle(release=1)
    assert workers.begun == ["a"]
    for task in workers.tasks:
        task.cancel()
    await asyncio.wait(workers.tasks)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc")),
            st.tuples(st.just("release"), st.integers(1, 4)),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
        ),
        max_size=40,
    )
)
async def test_no_place_is_ever_lost_or_given_twice(steps: list[tuple[str, str | int]]) -> None:
    workers = Workers(Places(total=3, each=2))
    for step, value in steps:
        if step == "add":
            workers.add(str(value))
        elif step == "cancel" and workers.tasks:
            workers.tasks[int(value) % len(workers.tasks)].cancel()
        await workers.settle(release=int(value) if step == "release" else 0)
        assert workers.places.running <= 3
    await workers.settle(release=100)
    assert all(task.done() for task in workers.tasks), "everyone got a turn"
    assert workers.places.running == 0
