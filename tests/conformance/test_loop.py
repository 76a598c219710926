"""One answer, several model turns: order, pauses, the client's own tools."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import anthropic
import pytest

from tests.conformance.conftest import NEWER, OLDER, Ask, asking, container_id, content_of, results, then, user
from tests.support.script import Json, Turn, bash, call, edit, python, say, think
from tests.support.server import Server
from tests.support.upstream import ScriptedUpstream

WEATHER: Json = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

pytestmark = pytest.mark.sandbox


def types(answer: Any) -> list[str]:
    return [block.type for block in answer.content]


def test_several_calls_of_one_turn_run_in_order_and_their_results_follow(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([bash("echo one > /tmp/n; cat /tmp/n"), bash("echo two >> /tmp/n; cat /tmp/n"), bash("wc -l < /tmp/n")]),
        Turn([say("Two lines.")]),
    )
    answer = ask("Count.")
    assert types(answer) == ["server_tool_use"] * 3 + ["bash_code_execution_tool_result"] * 3 + ["text"]
    assert [result["stdout"] for result in results(answer)] == ["one\n", "one\ntwo\n", "2\n"]
    blocks = content_of(answer)
    assert [block["tool_use_id"] for block in blocks[3:6]] == [block["id"] for block in blocks[:3]]


def test_files_stay_between_the_turns_of_one_answer(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([python("open('numbers.txt', 'w').write('1 2 3'); x = 1")]),
        Turn([python("print(open('numbers.txt').read())")]),
        Turn([python("print(x)")]),
        Turn([say("The name is gone, the file is not.")]),
    )
    answer = ask("Remember.", tools=[OLDER])
    first, second, third = results(answer)
    assert (first["return_code"], second["stdout"], third["return_code"]) == (0, "1 2 3\n", 1)
    assert "NameError" in third["stderr"]
    upstream.check_prefixes()


def test_thinking_goes_back_upstream_as_it_came(ask: Ask, upstream: ScriptedUpstream) -> None:
    thought = think("I should run it, and then look.", "EqQBCkgIBBABGAIiQL8c2ln")
    upstream.script(Turn([thought, say("I run it."), bash("echo 1")]), Turn([think("Good.", "c2ln"), say("It is 1.")]))
    answer = ask("Go.", thinking={"type": "enabled", "budget_tokens": 2000})
    assert content_of(answer)[0] == thought.fields
    assert upstream.requests[1].messages[1]["content"][0] == thought.fields
    assert upstream.requests[0].body["thinking"] == {"type": "enabled", "budget_tokens": 2000}


def test_fields_of_others_go_upstream_unchanged(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Hello.")], stop_reason="stop_sequence", stop_sequence="STOP"))
    fields: Json = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "stop_sequences": ["STOP"],
        "metadata": {"user_id": "u-1"},
        "extra_body": {"some_new_field": {"a": [1, None]}},
    }
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    answer = ask(user([image, {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]), **fields)
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "STOP")
    sent = upstream.requests[0].body
    assert sent["messages"][0]["content"] == [
        image,
        {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
    ]
    assert {name: sent[name] for name in ("system", "stop_sequences", "metadata", "some_new_field")} == {
        **{name: fields[name] for name in ("system", "stop_sequences", "metadata")},
        "some_new_field": {"a": [1, None]},
    }


def test_a_mark_for_the_cache_on_the_tool_stays_with_it(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Hello.")]))
    ask("Hi", tools=[NEWER | {"cache_control": {"type": "ephemeral"}}])
    tools = upstream.requests[0].body["tools"]
    assert [tool.get("cache_control") for tool in tools] == [None, {"type": "ephemeral"}]


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "end_turn"])
def test_the_models_stop_reason_is_the_answers(reason: str, ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("true")]), Turn([say("So")], stop_reason=reason))
    assert ask("Go.").stop_reason == reason


def test_a_call_of_the_clients_tool_ends_the_answer(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([call("get_weather", {"city": "Bern"}, call_id="toolu_weather1")]), Turn([say("Sunny.")]))
    answer = ask("Weather?", tools=[NEWER, WEATHER])
    assert answer.stop_reason == "tool_use"
    assert types(answer) == ["tool_use"]
    assert content_of(answer)[0]["input"] == {"city": "Bern"}
    result = {"type": "tool_result", "tool_use_id": content_of(answer)[0]["id"], "content": "sunny"}
    assert content_of(ask(then(user("Weather?"), answer, [result]), tools=[NEWER, WEATHER]))[0]["text"] == "Sunny."


@pytest.mark.parametrize("name_the_container", [True, False], ids=["container-named", "container-left-out"])
def test_executions_asked_for_beside_a_client_tool_run_when_its_result_comes(
    name_the_container: bool, ask: Ask, upstream: ScriptedUpstream
) -> None:
    upstream.script(
        Turn([bash("echo before > /tmp/state")]),
        Turn([bash("cat /tmp/state"), call("get_weather", {"city": "Bern"}, call_id="toolu_weather2")]),
    )
    first = ask("Both.", tools=[NEWER, WEATHER])
    assert first.stop_reason == "tool_use"
    assert types(first) == ["server_tool_use", "bash_code_execution_tool_result", "server_tool_use", "tool_use"]
    assert first.container is not None

    upstream.script(Turn([say("Read, and sunny.")]), Turn([say("You are welcome.")]))
    blocks = content_of(first)
    result = {"type": "tool_result", "tool_use_id": blocks[3]["id"], "content": "sunny"}
    history = then(user("Both."), first, [result])
    named: dict[str, Any] = {"container": container_id(first)} if name_the_container else {}
    second = ask(history, tools=[NEWER, WEATHER], **named)
    assert types(second) == ["bash_code_execution_tool_result", "text"]
    assert content_of(second)[0]["tool_use_id"] == blocks[2]["id"]
    assert results(second)[0]["stdout"] == "before\n"
    assert second.stop_reason == "end_turn"
    ask(then(history, second, "Thanks."), tools=[NEWER, WEATHER])


def test_the_container_is_named_already_by_the_answer_whose_execution_waits(
    ask: Ask, upstream: ScriptedUpstream
) -> None:
    upstream.script(Turn([bash("echo ran"), call("get_weather", {"city": "Bern"})]), Turn([say("Ran, and sunny.")]))
    first = ask("Both.", tools=[NEWER, WEATHER])
    assert types(first) == ["server_tool_use", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": content_of(first)[1]["id"], "content": "sunny"}
    second = ask(then(user("Both."), first, [result]), tools=[NEWER, WEATHER], container=container_id(first))
    assert results(second)[0]["stdout"] == "ran\n"
    assert container_id(second) == container_id(first)


@pytest.mark.parametrize("name_the_container", [True, False], ids=["container-named", "container-left-out"])
def test_a_paused_turn_goes_on_from_the_content_sent_back(
    name_the_container: bool,
    server_with: Callable[[Mapping[str, str]], Server],
    mode: Literal["json", "stream"],
    upstream: ScriptedUpstream,
) -> None:
    server = server_with({"COVE_MAX_TURNS": "2"})
    upstream.script(
        Turn([say("First."), bash("echo 1 | tee /tmp/a")]),
        Turn([say("Second."), bash("echo 2 >> /tmp/a; cat /tmp/a")]),
        Turn([say("Done.")]),
    )
    with anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0) as client:
        ask = asking(client, mode)
        paused = ask("Go.")
        assert paused.stop_reason == "pause_turn"
        assert paused.container is not None
        history = [*user("Go."), {"role": "assistant", "content": content_of(paused)}]
        named: dict[str, Any] = {"container": container_id(paused)} if name_the_container else {}
        ended = ask(history, **named)
    assert ended.stop_reason == "end_turn"
    assert [result["stdout"] for result in [*results(paused), *results(ended)]] == ["1\n", "1\n2\n"]
    assert content_of(ended)[-1] == {"type": "text", "text": "Done."}
    upstream.check_prefixes()


def test_both_versions_may_stand_in_one_history(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([python("print(1)")]), Turn([say("One.")]))
    older = ask("Print 1.", tools=[OLDER])
    upstream.script(Turn([edit(command="create", path="/tmp/a.txt", file_text="x\n")]), Turn([say("Made.")]))
    history = then(user("Print 1."), older, "Make a file.")
    newer = ask(history, tools=[NEWER])
    upstream.script(Turn([say("Thanks.")]))
    ask(then(history, newer, "Thank you."), tools=[OLDER])
