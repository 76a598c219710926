"""Lists of containers that are read page by page while containers come and go."""

import asyncio
import random

import pytest

from codecove.containers.pages import Asked
from codecove.containers.service import Containers
from codecove.workspaces import Caller
from tests.containers.standin import Clock


async def made(containers: Containers, caller: Caller) -> str:
    async with containers.lease(caller, None) as lease:
        return (await lease.container()).id


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_there_all_the_time_is_listed_once_while_others_come_and_go(
    containers: Containers, caller: Caller, clock: Clock, seed: int
) -> None:
    pick = random.Random(seed)
    staying = []
    for _ in range(12):
        clock.advance(pick.choice([0, 0, 1]))  # several at one moment
        staying.append(await made(containers, caller))
    stop = asyncio.Event()

    async def come_and_go() -> None:
        while not stop.is_set():
            clock.advance(pick.choice([0, 1]))
            container_id = await made(containers, caller)
            await asyncio.sleep(0)
            await containers.delete(caller, container_id)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(come_and_go())
        try:
            for _ in range(5):
                seen: list[str] = []
                asked = Asked(pick.randint(1, 5), None, None)
                while True:
                    page = await containers.catalogue.list(caller, asked)
                    seen += [entry["id"] for entry in page.data]
                    if not page.has_more:
                        break
                    asked = Asked(asked.limit, None, seen[-1])
                assert len(seen) == len(set(seen))
                assert set(staying) <= set(seen)
        finally:
            stop.set()
