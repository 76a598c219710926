"""One other product, in an environment that has it: a request is a line of JSON on stdin, its time one on stdout.

    worker.py NAME

Each is used as its documentation shows it, in a session that stays open between requests.
"""

import asyncio
import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Run = Callable[[dict[str, Any]], Awaitable[bool]]
"""Runs one request. False if it can't do that."""


class Failed(Exception):
    """A request did not do what it should."""


@contextlib.asynccontextmanager
async def llm_sandbox() -> AsyncIterator[Run]:
    """A new process for each request, in namespaces made by bubblewrap."""
    from llm_sandbox import SandboxBackend, SandboxSession  # type: ignore[import-not-found]

    with SandboxSession(backend=SandboxBackend.BUBBLEWRAP, lang="python", skip_environment_setup=True) as session:

        async def run(request: dict[str, Any]) -> bool:
            if request["argv"][0] == "bash":
                result = session.execute_command(shlex.join(request["argv"]))
            else:
                result = session.run(request["code"])
            check(result.exit_code == 0, result)
            return True

        yield run


@contextlib.asynccontextmanager
async def swe_rex() -> AsyncIterator[Run]:
    """A shell that stays, driven through a terminal. No isolation."""
    from swerex.deployment.local import LocalDeployment  # type: ignore[import-not-found]
    from swerex.runtime.abstract import BashAction, CreateBashSessionRequest  # type: ignore[import-not-found]

    deployment = LocalDeployment()
    await deployment.start()
    try:
        await deployment.runtime.create_session(CreateBashSessionRequest())

        async def run(request: dict[str, Any]) -> bool:
            command = "echo hi" if request["argv"][0] == "bash" else shlex.join(request["argv"])
            result = await deployment.runtime.run_in_session(BashAction(command=command))
            check(result.exit_code == 0, result)
            return True

        yield run
    finally:
        await deployment.stop()


@contextlib.asynccontextmanager
async def jupyter() -> AsyncIterator[Run]:
    """A Python that stays: no fresh interpreter, no isolation."""
    from jupyter_client.manager import start_new_async_kernel  # type: ignore[import-not-found]

    manager, client = await start_new_async_kernel(kernel_name="python3")
    try:

        async def run(request: dict[str, Any]) -> bool:
            reply = await client.execute_interactive(request["code"], output_hook=lambda message: None)
            check(reply["content"]["status"] == "ok", reply["content"])
            return True

        yield run
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


@contextlib.asynccontextmanager
async def monty() -> AsyncIterator[Run]:
    """An interpreter of a part of Python, in a process of its own: no shell, no libraries."""
    from pydantic_monty import AsyncMonty  # type: ignore[import-not-found]

    async with AsyncMonty() as pool, pool.checkout() as session:

        async def run(request: dict[str, Any]) -> bool:
            if "import" in request["code"]:
                return False
            await session.feed_run(request["code"])
            return True

        yield run


PEERS = {"llm-sandbox": llm_sandbox, "swe-rex": swe_rex, "jupyter": jupyter, "monty": monty}


def check(succeeded: bool, result: object) -> None:
    """Raises `Failed` with what came instead."""
    if not succeeded:
        raise Failed(str(result)[:500])


async def main() -> None:
    """Answer until stdin ends."""
    # What the products print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    began = time.perf_counter()
    try:
        async with PEERS[sys.argv[1]]() as run:
            answer(milliseconds=(time.perf_counter() - began) * 1000)
            while line := await asyncio.to_thread(sys.stdin.readline):
                began = time.perf_counter()
                try:
                    able = await run(json.loads(line))
                except Failed as error:
                    answer(error=str(error))
                    continue
                taken = (time.perf_counter() - began) * 1000
                answer(milliseconds=taken if able else None)
    except Exception as error:  # noqa: BLE001  (whatever a product raises is to be told to who reads the figures)
        answer(error=f"{type(error).__name__}: {error}")


asyncio.run(main())
