"""Doing two things at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both results. `first` begins first, and `second` when that waits for something.

    If one raises, or this is cancelled, the other is cancelled and awaited; what came first is raised.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            one, other = tasks.create_task(first), tasks.create_task(second)
    except ExceptionGroup as errors:
        failure = errors.exceptions[0]
    else:
        return one.result(), other.result()
    raise failure
