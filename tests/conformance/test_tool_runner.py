"""The Python client's tool runner: it runs the client's tools by itself, ours beside them run in the server."""

from typing import Any

import anthropic
import pytest
from anthropic import beta_async_tool, beta_tool

from tests.conformance import report
from tests.conformance.conftest import NEWER, content_of, results
from tests.support.script import Turn, bash, call, say
from tests.support.upstream import MODEL, ScriptedUpstream

TURNS = [
    Turn([say("First alone. "), bash("echo before > /tmp/state")]),
    Turn([bash("cat /tmp/state"), call("get_weather", {"city": "Bern"}, call_id="toolu_runner1")]),
    Turn([call("get_weather", {"city": "Ulm"}, call_id="toolu_runner2")]),
    Turn([say("Read, and sunny in both.")]),
]

pytestmark = pytest.mark.sandbox


def request(tool: Any) -> dict[str, Any]:
    question = [{"role": "user", "content": "Run it, and look up the weather."}]
    return {"model": MODEL, "max_tokens": 4096, "tools": [NEWER, tool], "messages": question}


def check(messages: list[Any], called: list[str], case: str) -> None:
    """The tool runs with its own input, and the execution that waited for it runs in the container it was asked in."""
    first, second, third = messages
    assert called == ["Bern", "Ulm"]
    assert [message.stop_reason for message in messages] == ["tool_use", "tool_use", "end_turn"]
    assert [block["type"] for block in content_of(second)] == ["bash_code_execution_tool_result", "tool_use"]
    assert results(second)[0]["stdout"] == "before\n"
    assert content_of(second)[0]["tool_use_id"] == content_of(first)[3]["id"]
    assert len({message.container.id for message in (first, second)}) == 1
    assert content_of(third) == [{"type": "text", "text": "Read, and sunny in both."}]
    report.record("Python", anthropic.__version__, NEWER["type"], case, "passes")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_the_tool_runner(stream: bool, client: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    called = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    upstream.script(*TURNS)
    runner: Any = client.beta.messages.tool_runner(**request(get_weather), stream=stream)
    messages = [item.get_final_message() if stream else item for item in runner]
    check(messages, called, "tool runner, streamed" if stream else "tool runner")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_the_asynchronous_tool_runner(
    stream: bool, async_client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    called = []

    @beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    upstream.script(*TURNS)
    runner: Any = async_client.beta.messages.tool_runner(**request(get_weather), stream=stream)
    messages = [await item.get_final_message() if stream else item async for item in runner]
    check(messages, called, "tool runner, async and streamed" if stream else "tool runner, async")
