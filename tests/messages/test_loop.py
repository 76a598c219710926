"""The loop: the order of events, what each model turn is asked, and when the response ends."""

import json
import re
from typing import Any

import pytest

from codecove.errors import UpstreamError
from codecove.messages.protocol import Block
from tests.messages.support import (
    CLIENT_TOOL,
    NEWER,
    OLDER,
    Bench,
    ScriptedModel,
    check_order,
    collect,
    folded,
    make_loop,
)
from tests.support.script import Turn, bash, call, edit, python, say, think


def types_of(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


async def test_an_execution_stands_between_two_model_turns_in_one_message() -> None:
    model = ScriptedModel(Turn([say("Let me see."), bash("ls")]), Turn([say("Nothing there.")]))
    events = await collect(make_loop({"tools": [NEWER]}, model))
    check_order(events)
    message = folded(events)
    assert types_of(message) == ["text", "server_tool_use", "bash_code_execution_tool_result", "text"]
    use, result = message["content"][1:3]
    assert re.fullmatch(r"srvtoolu_01[A-Za-z0-9]{22}", use["id"])
    assert use["input"] == {"command": "ls"}
    assert result["tool_use_id"] == use["id"]
    assert message["stop_reason"] == "end_turn"
    assert message["container"] == {"id": "container_01", "expires_at": "2026-07-30T18:54:00Z"}


async def test_a_call_starts_empty_and_its_first_delta_is_empty() -> None:
    model = ScriptedModel(Turn([bash("echo hello")]), Turn([say("Done.")]))
    events = await collect(make_loop({"tools": [NEWER]}, model))
    start = next(e for e in events if e["type"] == "content_block_start")
    assert start["content_block"]["input"] == {}
    deltas = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta" and e["index"] == 0]
    assert deltas[0] == ""
    assert json.loads("".join(deltas)) == {"command": "echo hello"}


async def test_a_result_is_whole_in_its_start_and_ends_at_once() -> None:
    model = ScriptedModel(Turn([bash("ls")]), Turn([say("Done.")]))
    events = await collect(make_loop({"tools": [NEWER]}, model))
    at = next(i for i, e in enumerate(events) if "tool_result" in e.get("content_block", {}).get("type", ""))
    assert events[at]["content_block"]["content"]["return_code"] == 0
    assert events[at + 1] == {"type": "content_block_stop", "index": events[at]["index"]}


async def test_calls_of_one_turn_come_first_then_their_results_in_the_same_order() -> None:
    bench = Bench()
    model = ScriptedModel(Turn([bash("one"), edit(command="view", path="/x"), bash("three")]), Turn([say("Done.")]))
    message = folded(await collect(make_loop({"tools": [NEWER]}, model, bench=bench)))
    assert types_of(message) == [
        *["server_tool_use"] * 3,
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text",
    ]
    assert [b["tool_use_id"] for b in message["content"][3:6]] == [b["id"] for b in message["content"][:3]]
    assert [c.id for c in bench.calls] == [b["id"] for b in message["content"][:3]]


async def test_the_next_turn_sees_ordinary_pairs() -> None:
    model = ScriptedModel(Turn([say("Hm."), bash("ls")]), Turn([say("Done.")]))
    message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
    suffix = message["content"][1]["id"].removeprefix("srvtoolu_")
    assert model.requests[1]["messages"] == [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Hm."},
                {
                    "type": "tool_use",
                    "id": f"toolu_{suffix}",
                    "name": "bash_code_execution",
                    "input": {"command": "ls"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": f"toolu_{suffix}", "content": "{'command': 'ls'}"},
            ],
        },
    ]
    assert [tool["name"] for tool in model.requests[0]["tools"]] == [
        "bash_code_execution",
        "text_editor_code_execution",
    ]
    assert model.requests[0]["tools"] == model.requests[1]["tools"]


async def test_a_later_request_brings_the_bytes_that_the_loop_sent() -> None:
    model = ScriptedModel(Turn([say("A"), bash("one")]), Turn([bash("two"), bash("three")]), Turn([say("Done.")]))
    message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
    history = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": "And now?"},
    ]
    later = ScriptedModel(Turn([say("Bye.")]))
    await collect(make_loop({"tools": [NEWER], "messages": history}, later))
    in_loop = json.dumps(model.requests[2]["messages"])[:-1]
    assert json.dumps(later.requests[0]["messages"]).startswith(in_loop)


async def test_the_older_tool_runs_python() -> None:
    bench = Bench()
    model = ScriptedModel(Turn([python("print(1)")]), Turn([say("1")]))
    message = folded(await collect(make_loop({"tools": [OLDER]}, model, bench=bench)))
    assert types_of(message) == ["server_tool_use", "code_execution_tool_result", "text"]
    assert bench.calls[0].input == {"code": "print(1)"}


async def test_thinking_is_replayed_with_its_signature() -> None:
    model = ScriptedModel(Turn([think("Hm, hm.", "c2ln"), bash("ls")]), Turn([say("Done.")]))
    message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
    thought = {"type": "thinking", "thinking": "Hm, hm.", "signature": "c2ln"}
    assert message["content"][0] == thought
    assert model.requests[1]["messages"][1]["content"][0] == thought


async def test_fields_that_are_not_ours_reach_the_upstream_and_ours_do_not() -> None:
    body = {
        "tools": [CLIENT_TOOL, {**NEWER, "cache_control": {"type": "ephemeral"}}],
        "container": {"id": None, "skills": []},
        "max_execution_duration": 5,
        "stream": True,
        "metadata": {"user_id": "u"},
        "future_field": [1, {"a": None}],
        "system": "Be kind.",
    }
    model = ScriptedModel(Turn([say("Hi.")]))
    await collect(make_loop(body, model))
    sent = model.requests[0]
    assert sent["metadata"] == {"user_id": "u"}
    assert sent["future_field"] == [1, {"a": None}]
    assert sent["system"] == "Be kind."
    assert not {"container", "max_execution_duration", "stream"} & sent.keys()
    assert [t["name"] for t in sent["tools"]] == ["get_weather", "bash_code_execution", "text_editor_code_execution"]
    assert ["cache_control" in t for t in sent["tools"]] == [False, False, True]


async def test_usage_is_the_sum_over_the_turns() -> None:
    first = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3}
    first["cache_creation"] = {"ephemeral_5m_input_tokens": 7}  # type: ignore[assignment]
    second = {**first, "input_tokens": 20, "output_tokens": 6}
    model = ScriptedModel(Turn([bash("ls")], usage=first), Turn([say("Done.")], usage=second))
    events = await collect(make_loop({"tools": [NEWER]}, model))
    usage = folded(events)["usage"]
    assert usage["input_tokens"] == 30
    assert usage["output_tokens"] == 11
    assert usage["cache_read_input_tokens"] == 6
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 14}
    assert usage["server_tool_use"] == {
        "web_search_requests": 0,
        "web_fetch_requests": 0,
        "code_execution_requests": 1,
        "execution_time_seconds": 0.5,
    }
    assert events[0]["message"]["usage"]["input_tokens"] == 10


async def test_the_container_stands_in_message_start_when_it_is_known() -> None:
    model = ScriptedModel(Turn([say("Hi.")]))
    events = await collect(make_loop({"tools": [NEWER]}, model, bench=Bench(container_id="container_7")))
    assert events[0]["message"]["container"]["id"] == "container_7"
    assert events[-2]["delta"]["container"]["id"] == "container_7"


async def test_without_an_execution_there_is_no_container() -> None:
    events = await collect(make_loop({"tools": [NEWER]}, ScriptedModel(Turn([say("Hi.")]))))
    assert "container" not in events[0]["message"]
    assert "container" not in events[-2]["delta"]


class TestClientTools:
    async def test_ours_wait_for_the_clients_results(self) -> None:
        bench = Bench(container_id="container_7")
        model = ScriptedModel(Turn([bash("ls"), call("get_weather", {"city": "Ulm"})]))
        events = await collect(make_loop({"tools": [NEWER, CLIENT_TOOL]}, model, bench=bench))
        message = folded(events)
        assert types_of(message) == ["server_tool_use", "tool_use"]
        assert message["stop_reason"] == "tool_use"
        assert message["container"]["id"] == "container_7"
        assert bench.calls == []
        assert bench.remembered == [message["content"][0]["id"]]

    async def test_the_next_response_begins_with_the_execution_results(self) -> None:
        use = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "bash_code_execution", "input": {"command": "ls"}}
        asked = {"type": "tool_use", "id": "toolu_T", "name": "get_weather", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": "toolu_T", "content": "sunny"}
        history = [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": [use, asked]},
            {"role": "user", "content": [answer]},
        ]
        model = ScriptedModel(Turn([say("Done.")]))
        events = await collect(make_loop({"tools": [NEWER, CLIENT_TOOL], "messages": history}, model))
        check_order(events)
        message = folded(events)
        assert types_of(message) == ["bash_code_execution_tool_result", "text"]
        sent = model.requests[0]["messages"]
        assert [b["type"] for b in sent[1]["content"]] == ["tool_use", "tool_use"]
        assert [b["tool_use_id"] for b in sent[2]["content"]] == ["toolu_A", "toolu_T"]

    async def test_a_call_with_broken_input_does_not_wait(self) -> None:
        bench = Bench()
        model = ScriptedModel(Turn([call("bash_code_execution", '{"command": "l'), call("get_weather", {})]))
        message = folded(await collect(make_loop({"tools": [NEWER, CLIENT_TOOL]}, model, bench=bench)))
        assert types_of(message) == ["server_tool_use", "tool_use", "bash_code_execution_tool_result"]
        assert message["content"][2]["content"]["error_code"] == "invalid_tool_input"
        assert bench.remembered == []


class TestPause:
    async def test_after_the_limit_of_turns(self) -> None:
        model = ScriptedModel(Turn([bash("one")]), Turn([bash("two")]))
        message = folded(await collect(make_loop({"tools": [NEWER]}, model, turns=2)))
        assert message["stop_reason"] == "pause_turn"
        assert message["stop_sequence"] is None
        assert types_of(message)[-1] == "bash_code_execution_tool_result"
        assert message["container"]["id"] == "container_01"

    async def test_after_the_limit_of_time(self) -> None:
        model = ScriptedModel(Turn([bash("one")]))
        message = folded(await collect(make_loop({"tools": [NEWER]}, model, seconds=0)))
        assert message["stop_reason"] == "pause_turn"

    async def test_the_loop_goes_on_from_the_content_sent_back(self) -> None:
        model = ScriptedModel(Turn([bash("one")]), Turn([say("Done.")]))
        paused = folded(await collect(make_loop({"tools": [NEWER]}, model, turns=1)))
        history = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": paused["content"]}]
        message = folded(await collect(make_loop({"tools": [NEWER], "messages": history}, model)))
        assert types_of(message) == ["text"]

    async def test_a_dangling_call_runs_before_the_model_goes_on(self) -> None:
        use = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "bash_code_execution", "input": {"command": "ls"}}
        history = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": [use]}]
        model = ScriptedModel(Turn([say("Done.")]))
        events = await collect(make_loop({"tools": [NEWER], "messages": history}, model))
        check_order(events)
        assert types_of(folded(events)) == ["bash_code_execution_tool_result", "text"]
        assert events[0]["message"]["model"] == "scripted-1"

    async def test_a_dangling_call_of_the_other_version_runs_with_that_version(self) -> None:
        use = {"type": "server_tool_use", "id": "srvtoolu_A", "name": "code_execution", "input": {"code": "1"}}
        history = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": [use]}]
        model = ScriptedModel(Turn([say("Done.")]))
        message = folded(await collect(make_loop({"tools": [NEWER], "messages": history}, model)))
        assert message["content"][0]["content"]["type"] == "code_execution_result"


class TestMaxTokens:
    async def test_each_turn_gets_what_is_left(self) -> None:
        model = ScriptedModel(
            Turn([bash("one")], usage={"input_tokens": 1, "output_tokens": 30}),
            Turn([bash("two")], usage={"input_tokens": 1, "output_tokens": 20}),
            Turn([say("Done.")]),
        )
        await collect(make_loop({"tools": [NEWER], "max_tokens": 100}, model))
        assert [request["max_tokens"] for request in model.requests] == [100, 70, 50]

    async def test_when_nothing_is_left_the_response_ends_after_the_results(self) -> None:
        model = ScriptedModel(Turn([bash("one")], usage={"input_tokens": 1, "output_tokens": 100}))
        message = folded(await collect(make_loop({"tools": [NEWER], "max_tokens": 100}, model)))
        assert message["stop_reason"] == "max_tokens"
        assert types_of(message) == ["server_tool_use", "bash_code_execution_tool_result"]

    async def test_of_a_cut_turn_whole_calls_run_and_the_cut_one_gets_an_error(self) -> None:
        bench = Bench()
        turn = Turn([bash("one"), call("bash_code_execution", '{"command": "ec')], stop_reason="max_tokens")
        message = folded(await collect(make_loop({"tools": [NEWER]}, ScriptedModel(turn), bench=bench)))
        assert message["stop_reason"] == "max_tokens"
        assert message["content"][1]["input"] == {"command": "ec"}
        assert message["content"][2]["content"]["return_code"] == 0
        assert message["content"][3]["content"]["error_code"] == "invalid_tool_input"
        assert "max_tokens" in message["content"][3]["content"]["error_message"]

    async def test_thinking_gets_a_budget_that_fits(self) -> None:
        model = ScriptedModel(
            Turn([bash("one")], usage={"input_tokens": 1, "output_tokens": 1500}), Turn([say("Done.")])
        )
        thinking = {"type": "enabled", "budget_tokens": 2500}
        await collect(make_loop({"tools": [NEWER], "max_tokens": 3000, "thinking": thinking}, model))
        assert [request["thinking"]["budget_tokens"] for request in model.requests] == [2500, 1499]


class TestToolChoice:
    @pytest.mark.parametrize(
        ("tools", "choice", "first"),
        [
            ([NEWER], {"type": "tool", "name": "code_execution"}, {"type": "any"}),
            (
                [NEWER, CLIENT_TOOL],
                {"type": "tool", "name": "code_execution", "disable_parallel_tool_use": True},
                {"type": "tool", "name": "bash_code_execution", "disable_parallel_tool_use": True},
            ),
            ([OLDER], {"type": "tool", "name": "code_execution"}, {"type": "tool", "name": "code_execution"}),
            ([NEWER], {"type": "any"}, {"type": "any"}),
            ([NEWER], {"type": "auto"}, {"type": "auto"}),
        ],
    )
    async def test_a_forced_call_is_forced_in_the_first_turn_only(
        self, tools: list[Block], choice: Block, first: Block
    ) -> None:
        turn = Turn([python("1") if tools[0] is OLDER else bash("ls")])
        model = ScriptedModel(turn, Turn([say("Done.")]))
        await collect(make_loop({"tools": tools, "tool_choice": choice}, model))
        assert model.requests[0]["tool_choice"] == first
        assert model.requests[1]["tool_choice"]["type"] == "auto"

    async def test_none_stays_none(self) -> None:
        model = ScriptedModel(Turn([bash("ls")]), Turn([say("Done.")]))
        await collect(make_loop({"tools": [NEWER], "tool_choice": {"type": "none"}}, model))
        assert [request["tool_choice"] for request in model.requests] == [{"type": "none"}] * 2


class TestBadCalls:
    async def test_a_tool_that_nobody_offered_is_answered_with_the_names_of_those_that_are(self) -> None:
        model = ScriptedModel(Turn([call("run_python", {"code": "1"})]), Turn([say("Sorry.")]))
        message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
        assert message["content"][0]["name"] == "bash_code_execution"
        error = message["content"][1]["content"]
        assert error["error_code"] == "invalid_tool_input"
        assert "`run_python`" in error["error_message"]
        assert "bash_code_execution" in error["error_message"]
        assert message["stop_reason"] == "end_turn"

    async def test_a_call_of_the_other_version_keeps_its_name(self) -> None:
        model = ScriptedModel(Turn([python("1")]), Turn([say("Sorry.")]))
        message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
        assert types_of(message)[:2] == ["server_tool_use", "code_execution_tool_result"]
        assert message["content"][1]["content"]["error_code"] == "invalid_tool_input"

    async def test_with_a_set_of_tools_whose_names_are_unknown_other_names_are_the_clients(self) -> None:
        tools = [NEWER, {"type": "browser_toolset_20260801", "name": "browser"}]
        body = {"tools": tools}
        model = ScriptedModel(Turn([call("browser_click", {})]))
        message = folded(await collect(make_loop(body, model)))
        assert types_of(message) == ["tool_use"]

    @pytest.mark.parametrize("broken", ["nonsense", '{"command": ls}', "[1]", '"ls"', '{"command": "a"} extra', "{,}"])
    async def test_broken_json_never_reaches_the_client_and_the_loop_goes_on(self, broken: str) -> None:
        model = ScriptedModel(Turn([call("bash_code_execution", broken)]), Turn([say("Sorry.")]))
        events = await collect(make_loop({"tools": [NEWER]}, model))
        sent = "".join(
            e["delta"]["partial_json"]
            for e in events
            if e["type"] == "content_block_delta" and e["delta"]["type"] == "input_json_delta"
        )
        assert isinstance(json.loads(sent), dict)
        assert folded(events)["content"][1]["content"]["error_code"] == "invalid_tool_input"

    async def test_calls_of_a_refused_turn_are_not_run(self) -> None:
        model = ScriptedModel(Turn([bash("ls")], stop_reason="refusal"))
        message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
        assert message["stop_reason"] == "refusal"
        assert message["content"][1]["content"]["error_code"] == "invalid_tool_input"


async def test_a_stop_sequence_is_passed_on() -> None:
    turn = Turn([say("One, two")], stop_reason="stop_sequence", stop_sequence="three")
    message = folded(await collect(make_loop({"tools": [NEWER]}, ScriptedModel(turn))))
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "three")


async def test_without_our_tool_the_upstreams_turn_is_the_response() -> None:
    turn = Turn([say("Hi."), call("get_weather", {"city": "Ulm"}, call_id="call_1")])
    events = await collect(make_loop({"tools": [CLIENT_TOOL]}, ScriptedModel(turn)))
    check_order(events)
    message = folded(events)
    assert message["id"] == "msg_0"
    assert message["content"][1] == {
        "type": "tool_use",
        "id": "call_1",
        "name": "get_weather",
        "input": {"city": "Ulm"},
    }
    assert "server_tool_use" not in message["usage"]


async def test_an_upstream_that_refuses_the_first_turn_is_not_asked_again() -> None:
    error = UpstreamError("busy", status=529, error_type="overloaded_error")
    model = ScriptedModel(error)
    with pytest.raises(UpstreamError):
        await collect(make_loop({"tools": [NEWER]}, model))
    assert len(model.requests) == 1


async def test_between_turns_an_upstream_that_is_busy_is_asked_again() -> None:
    error = UpstreamError("busy", status=429, error_type="rate_limit_error", retry_after=0.01)
    model = ScriptedModel(Turn([bash("ls")]), error, error, Turn([say("Done.")]))
    message = folded(await collect(make_loop({"tools": [NEWER]}, model)))
    assert message["stop_reason"] == "end_turn"
    assert model.requests[1] == model.requests[2] == model.requests[3]


async def test_between_turns_a_refusal_for_good_ends_the_stream_with_it() -> None:
    error = UpstreamError("no", status=400, error_type="invalid_request_error")
    model = ScriptedModel(Turn([bash("ls")]), error)
    with pytest.raises(UpstreamError, match="no"):
        await collect(make_loop({"tools": [NEWER]}, model))
    assert len(model.requests) == 2
