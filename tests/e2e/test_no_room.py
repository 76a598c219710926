"""The machine has no room for another container: who asks waits for a set time, and is then refused as documented."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import pytest

from tests.support.server import Server, started

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

WAIT = 2
ASK: dict[str, Any] = {
    "model": "codecove/blocks",
    "max_tokens": 1024,
    "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    "messages": [{"role": "user", "content": "```bash\necho hi\n```"}],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with room for one container."""
    settings = {"COVE_MAX_CONTAINERS": "1", "COVE_ADMISSION_WAIT": str(WAIT), "COVE_POOL_MAX": "0"}
    with started(settings) as server:
        yield server


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, headers=server.headers, timeout=60) as http:
        yield http


@pytest.fixture
async def client(server: Server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key=server.api_key, max_retries=0) as client:
        yield client


@asynccontextmanager
async def busy(http: httpx2.AsyncClient, seconds: float) -> AsyncIterator[str]:
    """A container that is busy for so long, or until the end of the block, in which it has the only place."""
    container = (await http.post("/v1/containers", json={})).json()["id"]
    running = asyncio.create_task(execute(http, container, f"touch started; sleep {seconds}"))
    try:
        async with asyncio.timeout(30):
            started = f"/v1/containers/{container}/files/workspace/started"
            while (await http.get(started)).is_error:  # noqa: ASYNC110 -- the event is in the container
                await asyncio.sleep(0.05)
        yield container
    finally:
        await http.delete(f"/v1/containers/{container}")
        await running


async def execute(http: httpx2.AsyncClient, container: str, command: str) -> httpx2.Response:
    call = {"name": "bash_code_execution", "input": {"command": command}}
    return await http.post(f"/v1/containers/{container}/executions", json=call)


async def ask(client: anthropic.AsyncAnthropic, *, stream: bool, **more: Any) -> Any:
    if not stream:
        return await client.messages.create(**ASK | more)
    async with client.messages.stream(**ASK | more) as answer:
        return await answer.get_final_message()


async def value(http: httpx2.AsyncClient, metric: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{metric} ")).rpartition(" ")[2])


async def test_every_way_of_asking_is_refused_as_overloaded_after_the_wait_and_leaves_nothing(
    http: httpx2.AsyncClient, client: anthropic.AsyncAnthropic
) -> None:
    other = (await http.post("/v1/containers", json={})).json()["id"]
    file = await client.beta.files.upload(file=("a.txt", b"a"))
    upload = {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": file.id}]}]}
    async with busy(http, 60) as held:
        # Five at once wait no longer than one: each has its own time.
        refused = await asyncio.gather(
            ask(client, stream=False),
            ask(client, stream=True),
            ask(client, stream=False, **upload),
            ask(client, stream=True, **upload),
            ask(client, stream=False, extra_body={"container": other}),
            return_exceptions=True,
        )
        direct = [await execute(http, other, "true"), await http.post("/v1/containers", json={})]
        sessions = (await http.get("/v1/usage/sessions")).json()["data"]
        waiting = await value(http, "codecove_waiting_for_room")
    for error in refused:
        assert isinstance(error, anthropic.APIStatusError), error
        assert isinstance(error.body, dict)
        assert error.body["error"]["type"] == "overloaded_error"
        assert "no room for another container" in error.body["error"]["message"]
    json_, streamed, *early = refused
    assert isinstance(streamed, anthropic.APIStatusError)
    for error in [json_, *early]:
        assert isinstance(error, anthropic.APIStatusError)
        assert (error.status_code, error.response.headers["retry-after"]) == (529, "5")
    for answer in direct:
        assert (answer.status_code, answer.json()["error"]["type"]) == (529, "overloaded_error")
        assert answer.headers["retry-after"] == "5"
    assert waiting == 0
    assert {row["container_id"] for row in sessions} == {other, held}
    assert (await execute(http, other, "echo again")).json()["content"]["stdout"] == "again\n"
    containers = (await http.get("/v1/containers")).json()["data"]
    assert [container["id"] for container in containers] == [other]
    await http.delete(f"/v1/containers/{other}")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_who_gets_room_in_time_is_served(
    stream: bool, http: httpx2.AsyncClient, client: anthropic.AsyncAnthropic
) -> None:
    async with busy(http, 0.7):
        message = await ask(client, stream=stream)
    assert [block.type for block in message.content if block.type.endswith("_result")] == [
        "bash_code_execution_tool_result"
    ]
    assert "hi" in message.to_json()
