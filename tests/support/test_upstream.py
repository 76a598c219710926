"""The strict upstream is itself right: the official client understands it, and it refuses what it should."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.support.replay import comparable, recordings
from tests.support.rules import problems
from tests.support.script import Failure, Refusal, Turn, bash, call, say, think
from tests.support.upstream import KEY, MODEL, ScriptedUpstream, running

USER = {"role": "user", "content": "Hi"}
TOOL = {
    "name": "bash_code_execution",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "bash_code_execution", "input": {"command": "true"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}


@pytest.fixture
def model() -> Iterator[ScriptedUpstream]:
    with running(ScriptedUpstream()) as upstream:
        yield upstream


@pytest.fixture
def client(model: ScriptedUpstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=model.url, api_key=KEY, max_retries=0) as client:
        yield client


def test_a_turn_is_the_same_message_whole_and_streamed(model: ScriptedUpstream, client: anthropic.Anthropic) -> None:
    turn = Turn([think("Let me see.", "c2ln"), say("I run it."), call("bash_code_execution", {"command": "echo ä"})])
    model.script(turn, turn)
    request: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": [USER]}
    whole = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    assert comparable([block.to_dict() for block in whole.content]) == comparable(
        [block.to_dict() for block in streamed.content]
    )
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert model.violations == []


def test_a_recording_becomes_turns_that_stream_the_recorded_input(
    model: ScriptedUpstream, client: anthropic.Anthropic
) -> None:
    recording = next(item for item in recordings() if item.name == "20250825-editor-and-bash.sse.jsonl")
    turns = recording.turns()
    assert [turn.final_stop_reason for turn in turns] == ["tool_use", "tool_use", "end_turn"]
    model.script(turns[0])
    with client.messages.stream(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hi"}]) as stream:
        message = stream.get_final_message()
    assert message.content[1].to_dict()["input"] == recording.content[1]["input"]


@pytest.mark.parametrize("kind", ["drop", "error"])
def test_a_stream_that_fails_is_an_error_for_the_client(
    model: ScriptedUpstream, client: anthropic.Anthropic, kind: Any
) -> None:
    model.script(Turn([say("This is never said to its end.")], failure=Failure(4, kind)))
    with (
        pytest.raises(Exception, match=r"Overloaded|peer closed|incomplete"),
        client.messages.stream(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        stream.until_done()


def test_a_refusal_is_the_status_asked_for(model: ScriptedUpstream, client: anthropic.Anthropic) -> None:
    model.script(Refusal(429, "rate_limit_error", headers={"retry-after": "7"}))
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.response.headers["retry-after"] == "7"


def test_a_request_after_the_end_of_the_script_is_a_violation(
    model: ScriptedUpstream, client: anthropic.Anthropic
) -> None:
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hi"}])
    assert model.violations == ["a request came after the script's end"]


def test_a_thinking_block_that_came_back_changed_is_a_violation(
    model: ScriptedUpstream, client: anthropic.Anthropic
) -> None:
    model.script(Turn([think("one", "c2ln"), say("hello")]))
    client.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hi"}])
    history: Any = [
        USER,
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "two", "signature": "c2ln"}, bash("x").fields],
        },
    ]
    history[1]["content"][1] = {"type": "text", "text": "hello"}
    with pytest.raises(anthropic.BadRequestError, match="cannot be modified"):
        client.messages.create(model=MODEL, max_tokens=100, messages=[*history, {"role": "user", "content": "go on"}])


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 10, "messages": list(messages), **fields}


@pytest.mark.parametrize(
    "body",
    [
        request(USER),
        request(USER, {"role": "assistant", "content": "Hello"}, USER),
        request(USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}, tools=[TOOL]),
        request(USER, tools=[TOOL], tool_choice={"type": "tool", "name": "bash_code_execution"}),
        request(USER, system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]),
    ],
)
def test_what_the_hosted_service_accepts_is_accepted(body: dict[str, Any]) -> None:
    assert list(problems(body)) == []


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (request(), "at least one message"),
        (request(USER, max_tokens=0), "greater than or equal to 1"),
        (request(USER, container="container_1"), "container: Extra inputs"),
        (request({"role": "assistant", "content": "Hi"}), "first message must use"),
        (request(USER, USER), "roles must alternate"),
        (request({"role": "user", "content": []}), "non-empty content"),
        (request({"role": "user", "content": [{"type": "text", "text": " "}]}), "non-whitespace"),
        (request({"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}), "Input tag"),
        (request(USER, {"role": "assistant", "content": [CALL | {"type": "server_tool_use"}]}), "Input tag"),
        (request(USER, {"role": "assistant", "content": [CALL | {"id": "a.b"}]}), "should match pattern"),
        (request(USER, {"role": "assistant", "content": [CALL | {"index": 1}]}), "index: Extra inputs"),
        (request(USER, {"role": "assistant", "content": [CALL]}), "without `tool_result`"),
        (request(USER, {"role": "assistant", "content": [CALL]}, USER), "without `tool_result`"),
        (
            request(
                USER,
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [{"type": "text", "text": "first"}, RESULT]},
            ),
            "without `tool_result`",
        ),
        (request({"role": "user", "content": [RESULT]}), "unexpected `tool_use_id`"),
        (
            request(USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT, RESULT]}),
            "single result",
        ),
        (
            request(USER, {"role": "assistant", "content": [CALL, CALL]}, {"role": "user", "content": [RESULT]}),
            "ids must be unique",
        ),
        (request(USER, tools=[{"type": "code_execution_20250825", "name": "code_execution"}]), "Input tag"),
        (request(USER, tools=[TOOL, TOOL]), "names must be unique"),
        (request(USER, tools=[{"name": "x", "input_schema": {}}]), "input_schema.type"),
        (
            request(USER, tools=[{"name": "x", "input_schema": {"type": "object", "required": ["a"]}}]),
            "schema is invalid",
        ),
        (request(USER, tools=[TOOL], tool_choice={"type": "tool", "name": "code_execution"}), "not found in provided"),
        (
            request(USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "b"}]}),
            "cannot be `thinking`",
        ),
    ],
)
def test_what_the_hosted_service_refuses_is_refused(body: dict[str, Any], complaint: str) -> None:
    assert any(complaint in problem for problem in problems(body)), list(problems(body))
