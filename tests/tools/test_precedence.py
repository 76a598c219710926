"""Executions that somebody waits for go first."""

import asyncio
from contextlib import AsyncExitStack

from codecove.tools.precedence import Precedence


async def waits(task: asyncio.Task[None]) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    return not task.done()


async def test_the_background_leaves_a_core_and_gives_way() -> None:
    precedence = Precedence(cores=2)
    async with AsyncExitStack() as interactive, AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(precedence.background())
        waiting = asyncio.create_task(second.enter_async_context(precedence.background()))
        assert await waits(waiting), "a core is left"
        for _ in range(3):
            await interactive.enter_async_context(precedence.interactive())
        await first.aclose()
        assert await waits(waiting), "others take both cores"
        await interactive.aclose()
        assert not await waits(waiting)


async def test_the_background_is_not_starved_for_ever() -> None:
    precedence = Precedence(cores=1, patience=0.05)
    async with precedence.interactive(), asyncio.timeout(30), precedence.background():
        pass


async def test_who_gives_up_waiting_takes_no_place() -> None:
    precedence = Precedence(cores=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(precedence.interactive())
        waiting = asyncio.create_task(stack.enter_async_context(precedence.background()))
        assert await waits(waiting)
        waiting.cancel()
        await asyncio.wait({waiting})
    async with asyncio.timeout(30), precedence.background():
        pass
