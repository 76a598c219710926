"""A model that can't call tools: what it is asked, what its code blocks become, what it sees of them later."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecove.messages.fenced_request import fenced
from codecove.messages.fenced_upstream import FencedUpstream
from codecove.messages.history import translate
from codecove.messages.measured import MeasuredUpstream
from codecove.messages.protocol import Block, Message, PassedHeaders
from codecove.messages.upstream import Upstreams
from codecove.settings import Route, Settings
from codecove.tools.versions import VERSIONS
from tests.messages.conversations import conversations
from tests.messages.support import (
    CLIENT_TOOL,
    FACTS,
    NEWER,
    OLDER,
    Bench,
    ScriptedModel,
    check_order,
    collect,
    folded,
    make_loop,
)
from tests.support.script import Turn, call, say, think

BASH_FENCE = "```bash\nls\n```\n"
TOOLS = VERSIONS["code_execution_20250825"].definitions(FACTS)


async def respond(model: ScriptedModel, *tools: Block, bench: Bench | None = None, **fields: Any) -> dict[str, Any]:
    body = {"tools": list(tools or [NEWER]), **fields}
    events = await collect(make_loop(body, FencedUpstream(model), bench=bench))
    check_order(events)
    assert model.closed == len(model.requests)
    return folded(events)


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


class TestAnswer:
    async def test_a_block_is_the_call_and_what_follows_it_is_not_shown(self) -> None:
        model = ScriptedModel(Turn([say(f"Let me look.\n\n{BASH_FENCE}\nIt says: a.txt")]), Turn([say("There.")]))
        bench = Bench()
        message = await respond(model, bench=bench)
        assert kinds(message) == ["text", "server_tool_use", "bash_code_execution_tool_result", "text"]
        assert message["content"][0]["text"] == "Let me look.\n\n"
        assert [(call.name, call.input) for call in bench.calls] == [("bash_code_execution", {"command": "ls"})]
        assert message["stop_reason"] == "end_turn"

    async def test_the_input_is_streamed_as_it_comes(self) -> None:
        code = 'print("a\\n")\n' * 20
        model = ScriptedModel(Turn([say(f"```python\n{code}```\n")]), Turn([say("Done.")]))
        bench = Bench()
        events = await collect(make_loop({"tools": [OLDER]}, FencedUpstream(model), bench=bench))
        pieces = [event["delta"].get("partial_json") for event in events if event["type"] == "content_block_delta"]
        assert len([piece for piece in pieces if piece]) > 20
        assert bench.calls[0].input == {"code": code.rstrip("\n")}

    async def test_python_runs_by_bash_under_the_newer_tool(self) -> None:
        model = ScriptedModel(Turn([say("```python\nprint('é')\n\n```\n")]), Turn([say("Done.")]))
        bench = Bench()
        await respond(model, bench=bench)
        first, *rest = bench.calls[0].input["command"].split("\n")
        assert first == f"python3 - <<'{rest[-1]}'"
        assert rest[:-1] == ["print('é')"]
        assert model.requests[1]["messages"][1]["content"] == [{"type": "text", "text": "```python\nprint('é')\n```\n"}]

    async def test_an_editor_block_is_the_json_of_its_call(self) -> None:
        arguments = {"command": "view", "path": "/tmp"}
        model = ScriptedModel(Turn([say(f"```text_editor\n{json.dumps(arguments)}\n```\n")]), Turn([say("Done.")]))
        bench = Bench()
        await respond(model, bench=bench)
        assert (bench.calls[0].name, bench.calls[0].input) == ("text_editor_code_execution", arguments)

    async def test_editor_json_that_is_broken_is_said_to_be(self) -> None:
        model = ScriptedModel(Turn([say("```text_editor\n{path: x}\n```\n")]), Turn([say("Done.")]))
        bench = Bench()
        await respond(model, bench=bench)
        assert "not a JSON object" in str(bench.calls[0].problem)
        assert "It failed:" in str(model.requests[1]["messages"][2])

    async def test_one_that_is_not_closed_at_the_end_is_run(self) -> None:
        model = ScriptedModel(
            Turn([say("```bash\nls")], usage={"input_tokens": 1, "output_tokens": 7}), Turn([say("D")])
        )
        bench = Bench()
        message = await respond(model, bench=bench)
        assert bench.calls[0].input == {"command": "ls"}
        assert message["usage"]["output_tokens"] == 27

    @pytest.mark.parametrize("reason", ["max_tokens", "stop_sequence", "refusal"])
    async def test_one_that_was_cut_is_not(self, reason: str) -> None:
        bench = Bench()
        message = await respond(ScriptedModel(Turn([say("```bash\nrm -rf x")], stop_reason=reason)), bench=bench)
        assert bench.calls[0].problem is not None
        assert message["stop_reason"] == reason

    async def test_text_alone_is_passed_on_whole(self) -> None:
        text = "See:\n```json\n{}\n```\nor `x`\n"
        message = await respond(ScriptedModel(Turn([say(text)])))
        assert message["content"] == [{"type": "text", "text": text}]
        assert message["usage"]["output_tokens"] == 20

    async def test_thoughts_are_passed_on_and_no_code_of_theirs_is_run(self) -> None:
        model = ScriptedModel(Turn([think(BASH_FENCE, "sig"), say(BASH_FENCE)]), Turn([say("Done.")]))
        message = await respond(model)
        assert kinds(message)[:2] == ["thinking", "server_tool_use"]
        assert model.requests[1]["messages"][1]["content"][0] == {
            "type": "thinking",
            "thinking": BASH_FENCE,
            "signature": "sig",
        }

    async def test_a_turn_that_was_ended_early_is_counted_by_what_was_read(self) -> None:
        model = ScriptedModel(Turn([say(BASH_FENCE)], chunk=1), Turn([say("Done.")]))
        message = await respond(model)
        assert message["usage"]["output_tokens"] == len(BASH_FENCE) + 20

    async def test_space_before_a_block_is_no_text(self) -> None:
        assert kinds(await respond(ScriptedModel(Turn([say(f"\n\n{BASH_FENCE}")]), Turn([say("D")]))))[0] == (
            "server_tool_use"
        )

    async def test_a_model_that_runs_the_same_again_and_again_is_ended(self) -> None:
        model = ScriptedModel(*[Turn([say(f"Run:\n{BASH_FENCE}")])] * 3)
        bench = Bench()
        message = await respond(model, bench=bench)
        assert len(bench.calls) == 2
        assert message["content"][-1] == {"type": "text", "text": f"Run:\n{BASH_FENCE}"}
        assert message["stop_reason"] == "end_turn"


class TestClientTools:
    async def test_they_are_offered_and_called_as_ever(self) -> None:
        model = ScriptedModel(Turn([call("get_weather", {})]))
        message = await respond(model, CLIENT_TOOL, NEWER)
        assert model.requests[0]["tools"] == [CLIENT_TOOL]
        assert kinds(message) == ["tool_use"]
        assert message["stop_reason"] == "tool_use"

    async def test_a_block_after_one_waits_for_its_result(self) -> None:
        model = ScriptedModel(Turn([call("get_weather", {}), say(BASH_FENCE)]))
        bench = Bench()
        message = await respond(model, CLIENT_TOOL, NEWER, bench=bench)
        assert kinds(message) == ["tool_use", "server_tool_use"]
        assert message["stop_reason"] == "tool_use"
        assert bench.remembered == [message["content"][1]["id"]]


class TestRequest:
    async def test_the_tools_are_described_in_the_system_prompt(self) -> None:
        model = ScriptedModel(Turn([say("Hi")]))
        await respond(model, system="Be brief.")
        request = model.requests[0]
        assert "tools" not in request
        assert request["system"].startswith("Be brief.\n\nYou can run code.")
        for word in ("```bash", "```text_editor", "```python", "old_str", "1 GiB memory"):
            assert word in request["system"]

    async def test_a_cache_mark_of_the_declaration_stays(self) -> None:
        mark = {"type": "ephemeral"}
        model = ScriptedModel(Turn([say("Hi")]))
        await respond(model, {**OLDER, "cache_control": mark}, system=[{"type": "text", "text": "Be brief."}])
        assert model.requests[0]["system"][0] == {"type": "text", "text": "Be brief."}
        assert model.requests[0]["system"][1]["cache_control"] == mark

    @pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "code_execution"}])
    async def test_a_forced_call_is_asked_for(self, choice: Block) -> None:
        model = ScriptedModel(Turn([say(BASH_FENCE)]), Turn([say("Done.")]))
        await respond(model, tool_choice=choice)
        assert "Write a code block now." in model.requests[0]["system"]
        assert "Write a code block now." not in model.requests[1]["system"]
        assert "tool_choice" not in model.requests[0]

    async def test_without_a_choice_to_call_nothing_is_asked_and_nothing_run(self) -> None:
        model = ScriptedModel(Turn([say(BASH_FENCE)]))
        message = await respond(model, tool_choice={"type": "none"})
        assert "system" not in model.requests[0]
        assert message["content"] == [{"type": "text", "text": BASH_FENCE}]

    async def test_a_request_without_our_tool_is_left_alone(self) -> None:
        model = ScriptedModel(Turn([say(BASH_FENCE)]))
        message = await respond(model, CLIENT_TOOL)
        assert model.requests[0]["tools"] == [CLIENT_TOOL]
        assert message["content"] == [{"type": "text", "text": BASH_FENCE}]

    async def test_counting_sees_the_same(self) -> None:
        model = ScriptedModel()
        request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS}
        await FencedUpstream(model).count_tokens(request, PassedHeaders())
        assert model.requests == [fenced(request).body]

    async def test_the_settings_say_for_which_models(self) -> None:
        route = Route(model="a", upstream_url="http://127.0.0.1:1", tool_calling="fenced")
        async with Upstreams(Settings(upstream_url="http://127.0.0.1:1", routes=[route])) as upstreams:
            assert is_fenced(upstreams, "a")
            assert not is_fenced(upstreams, "b")
        async with Upstreams(Settings(upstream_url="http://127.0.0.1:1", upstream_tool_calling="fenced")) as upstreams:
            assert is_fenced(upstreams, "b")


def is_fenced(upstreams: Upstreams, model: str) -> bool:
    measured = upstreams.choose(model).upstream
    assert isinstance(measured, MeasuredUpstream)
    return isinstance(measured._inner, FencedUpstream)


class TestHistory:
    @pytest.mark.parametrize(
        ("name", "arguments", "expected"),
        [
            ("code_execution", {"code": "print(1)\n"}, "```python\nprint(1)\n```\n"),
            ("bash_code_execution", {"command": "echo '```'"}, "````bash\necho '```'\n````\n"),
            ("bash_code_execution", {"restart": True}, '```bash\n{"restart": true}\n```\n'),
            ("text_editor_code_execution", {"command": "view"}, '```text_editor\n{"command": "view"}\n```\n'),
        ],
    )
    def test_a_call_is_the_block_that_would_make_it(self, name: str, arguments: Block, expected: str) -> None:
        messages = _with_call(name, arguments, {"content": "x"})
        assert fenced({"messages": messages}).body["messages"][1]["content"] == [{"type": "text", "text": expected}]

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            ({"content": "42\n"}, "Output:\n```\n42\n```\n"),
            ({"content": "a ``` b"}, "Output:\n````\na ``` b\n````\n"),
            ({"content": "no", "is_error": True}, "It failed:\n```\nno\n```\n"),
            ({}, "It ran, and printed nothing.\n"),
            (
                {"content": [{"type": "image", "source": {}}]},
                "Output:\n```\n[image: only a model that sees can use it]\n```\n",
            ),
        ],
    )
    def test_a_result_is_text(self, result: Block, expected: str) -> None:
        messages = _with_call("code_execution", {"code": "1"}, result)
        assert fenced({"messages": messages}).body["messages"][2]["content"] == [{"type": "text", "text": expected}]

    def test_texts_in_a_row_are_one_and_marks_stay(self) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        messages = _with_call("bash_code_execution", {"command": "ls"}, {"content": "a", **mark})
        messages[1]["content"].insert(0, {"type": "text", "text": "Look:"})
        messages[2]["content"].append({"type": "text", "text": "And?"})
        _, asked, answered = fenced({"messages": messages}).body["messages"]
        assert asked["content"] == [{"type": "text", "text": "Look:\n```bash\nls\n```\n"}]
        assert answered["content"] == [
            {"type": "text", "text": "Output:\n```\na\n```\n", **mark},
            {"type": "text", "text": "And?"},
        ]

    @given(conversations())
    @settings(max_examples=60)
    def test_nothing_of_our_tool_is_left_and_it_is_always_the_same(self, conversation: list[Message]) -> None:
        messages = translate(conversation, keep_foreign=False).messages
        request = {"messages": messages, "tools": TOOLS}
        before = copy.deepcopy(request)
        once = fenced(request).body
        assert request == before
        assert json.dumps(once) == json.dumps(fenced(request).body)
        blocks = [b for m in once["messages"] if isinstance(m["content"], list) for b in m["content"]]
        assert all("code_execution" not in str(b.get("name")) for b in blocks)
        left = {b["id"] for b in blocks if b["type"] == "tool_use"}
        assert {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"} <= left
        shorter = fenced({**request, "messages": messages[:-1]}).body if len(messages) > 1 else None
        assert shorter is None or shorter["messages"] == once["messages"][:-1]


def _with_call(name: str, arguments: Block, result: Block) -> list[Any]:
    return [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": name, "input": arguments}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", **result}]},
    ]


anything = st.recursive(
    st.none() | st.integers(0, 1) | st.sampled_from(["", "a", "bash_code_execution", "any", "text"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "name", "text", "content", "input", "id", "input_schema", "properties"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["system", "tools", "tool_choice"]), anything), st.lists(anything, max_size=3))
@settings(max_examples=300)
def test_any_request_is_translated(fields: dict[str, Any], content: list[Any]) -> None:
    blocks = [block for block in content if isinstance(block, dict)]
    messages = [{"role": role, "content": blocks} for role in ("user", "assistant", "user", "assistant", "user")]
    fenced({"messages": messages, **fields})
    fenced({"messages": messages, "tools": TOOLS, **fields})
