"""A container that was replaced: the model is told once, in the first result that has a place for it."""

from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext

import pytest

from codecove.tools.context import OutputFile, ToolLimits
from codecove.tools.session import ToolSession
from tests.tools.conftest import CALLER, Request, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]
RUNTIME = "crun"


async def replaced(server: Server, stack: AsyncExitStack) -> Request:
    """A request whose container had expired."""
    async with server.request() as request:
        old = (await request.container()).id
    await server.expire_containers()
    lease = await stack.enter_async_context(server.containers.lease(CALLER, old, on_expired="replace"))

    async def save_outputs(outputs: Sequence[OutputFile]) -> Sequence[str]:
        raise AssertionError(outputs)

    return Request(
        ToolSession(lease=lease, uploads=(), save_outputs=save_outputs, limits=ToolLimits(), turn=nullcontext),
        lease,
        server.files,
    )


async def test_an_error_of_the_editor_says_it_and_nothing_after_it(server: Server) -> None:
    async with AsyncExitStack() as stack:
        request = await replaced(server, stack)
        server.made.add((await request.container()).id)
        first = await request.edit("view", "notes.txt")
        assert first["error_code"] == "file_not_found"
        assert "new container" in first["error_message"]
        again = await request.edit("view", "notes.txt")
        assert "new container" not in again["error_message"]
        assert (await request.bash("true"))["stderr"] == ""


async def test_after_an_edit_that_succeeds_the_next_command_says_it(server: Server) -> None:
    async with AsyncExitStack() as stack:
        request = await replaced(server, stack)
        server.made.add((await request.container()).id)
        assert "error_code" not in await request.edit("create", "notes.txt", file_text="x\n")
        said = await request.bash("cat notes.txt; echo oh >&2")
        assert said["stdout"] == "x\n"
        assert said["stderr"].startswith("oh\n[code execution: Container container_")
        assert (await request.bash("true"))["stderr"] == ""


async def test_a_mistake_before_the_container_exists_does_not_use_it_up(server: Server) -> None:
    async with AsyncExitStack() as stack:
        request = await replaced(server, stack)
        wrong = await request.call("bash_code_execution", cmd="ls")
        assert "new container" not in wrong["content"]["error_message"]
        assert "new container" in (await request.bash("true"))["stderr"]
        server.made.add((await request.container()).id)
