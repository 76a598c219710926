"""The documentation's first example, with either version of the tool."""

import anthropic
import pytest

from tests.conformance.conftest import NEWER, OLDER, Ask, container_id, content_of, results
from tests.support.script import Json, Turn, bash, python, say
from tests.support.server import GVISOR, Server, Servers
from tests.support.upstream import MODEL, ScriptedUpstream

QUESTION = "Calculate the mean and standard deviation of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
CODE = "import statistics as s\nd = range(1, 11)\nprint(s.mean(d), round(s.stdev(d), 4))"
OUTPUT = "5.5 3.0277\n"
COMMAND = f'python3 -c "{CODE}"'

pytestmark = pytest.mark.sandbox


@pytest.fixture
def server(servers: Servers, upstream: ScriptedUpstream) -> Server:
    """One with gVisor: each tool's calls pass through it here, and elsewhere through the cheaper runtime."""
    server = servers.get(GVISOR) or servers.get()
    assert server is not None
    return server


def test_the_older_tool_runs_python(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("I calculate."), python(CODE)]), Turn([say("5.5 and 3.03")]))
    answer = ask(QUESTION, tools=[OLDER])
    assert [block["type"] for block in content_of(answer)] == [
        "text",
        "server_tool_use",
        "code_execution_tool_result",
        "text",
    ]
    assert results(answer) == [
        {"type": "code_execution_result", "stdout": OUTPUT, "stderr": "", "return_code": 0, "content": []}
    ]
    assert upstream.requests[0].tool_names == {"code_execution"}


def test_the_newer_tool_runs_bash(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("I calculate."), bash(COMMAND)]), Turn([say("5.5 and 3.03")]))
    answer = ask(QUESTION)
    assert results(answer) == [
        {"type": "bash_code_execution_result", "stdout": OUTPUT, "stderr": "", "return_code": 0, "content": []}
    ]
    assert upstream.requests[0].tool_names == {"bash_code_execution", "text_editor_code_execution"}


@pytest.mark.parametrize("kind", ["code_execution_20260120", "code_execution_20260521"])
def test_later_versions_are_served_as_the_newer_one(kind: str, ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo hello")]), Turn([say("Done.")]))
    answer = ask("Say hello.", tools=[{"type": kind, "name": "code_execution"}])
    assert results(answer)[0]["stdout"] == "hello\n"


def test_usage_is_the_sum_over_the_turns(ask: Ask, upstream: ScriptedUpstream) -> None:
    first = {"input_tokens": 100, "output_tokens": 7, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 0}
    second = {"input_tokens": 11, "output_tokens": 5, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 30}
    upstream.script(Turn([bash("true")], usage=first), Turn([say("Done.")], usage=second))
    usage = ask("Do it.").usage.to_dict()
    assert {name: usage[name] for name in first} == {
        "input_tokens": 111,
        "output_tokens": 12,
        "cache_creation_input_tokens": 32,
        "cache_read_input_tokens": 30,
    }
    tools: Json = usage["server_tool_use"]  # type: ignore[assignment]
    assert tools["code_execution_requests"] == 1
    assert tools["execution_time_seconds"] >= 0


def test_no_container_is_named_when_none_was_used(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Four.")]))
    answer = ask("What is 2 + 2?")
    assert answer.container is None
    assert answer.stop_reason == "end_turn"


async def test_the_asynchronous_client_gets_the_same(
    async_client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    turns = [Turn([bash("echo $((6 * 7))")]), Turn([say("42")])]
    upstream.script(*turns, *turns)
    request = {
        "model": MODEL,
        "max_tokens": 1024,
        "tools": [NEWER],
        "messages": [{"role": "user", "content": "6 * 7?"}],
    }
    whole = await async_client.beta.messages.create(**request)  # type: ignore[call-overload]
    async with async_client.beta.messages.stream(**request) as stream:  # type: ignore[arg-type]
        streamed = await stream.get_final_message()
    assert results(whole)[0]["stdout"] == results(streamed)[0]["stdout"] == "42\n"
    assert container_id(whole) != container_id(streamed)


def test_the_plain_namespace_of_the_client_works_too(client: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo hello")]), Turn([say("Done.")]))
    answer = client.messages.create(
        model=MODEL,
        max_tokens=1024,
        tools=[{"type": "code_execution_20250825", "name": "code_execution"}],
        messages=[{"role": "user", "content": "Say hello."}],
    )
    assert answer.content[1].type == "bash_code_execution_tool_result"
    assert answer.content[1].content.to_dict()["stdout"] == "hello\n"
