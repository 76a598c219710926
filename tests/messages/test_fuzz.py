"""Whatever comes, from either side: an answer in order or an error of the API, never another exception."""

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codecove.errors import CodecoveError
from codecove.messages.history import translate, with_placeholders
from codecove.messages.pairs import has_our_blocks
from codecove.messages.protocol import Event
from codecove.messages.request import parse
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

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "srvtoolu_A", "toolu_B", "ls"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "type", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ids = st.sampled_from(["srvtoolu_A", "srvtoolu_B", "toolu_B", "x/y"])
names = st.sampled_from(["code_execution", "bash_code_execution", "text_editor_code_execution", "web_search", "other"])
kinds = st.sampled_from(
    [
        *("text", "tool_use", "tool_result", "server_tool_use", "container_upload", "image", "document", "thinking"),
        *("code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
        *("web_search_tool_result", "mcp_tool_use", "hologram", "redacted_thinking"),
    ]
)
results = st.fixed_dictionaries(
    {"type": st.sampled_from(["bash_code_execution_result", "encrypted_code_execution_result", "x_error", "view"])},
    optional={"stdout": anything, "return_code": anything, "content": anything, "error_code": anything},
)
blocks = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "id": ids | anything,
        "tool_use_id": ids | anything,
        "name": names | anything,
        "input": st.just({"command": "ls"}) | anything,
        "text": st.just("hello") | anything,
        "content": results | anything,
        "source": anything | st.just({"type": "base64"}),
        "caller": anything | st.just({"type": "code_execution_20250825"}),
        "cache_control": anything,
    },
)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "assistant", "system"]),
            "content": st.text("a ", max_size=2) | st.lists(blocks, max_size=5) | anything,
        }
    ),
    min_size=1,
    max_size=5,
)


@given(messages, st.booleans())
@settings(max_examples=400)
def test_any_history_is_translated_or_refused(history: list[Any], keep_foreign: bool) -> None:
    with contextlib.suppress(CodecoveError):
        request = parse({"model": "m", "messages": history, "tools": [NEWER]})
        has_our_blocks(request.messages)
        once = translate(request.messages, keep_foreign=keep_foreign)
        assert json.dumps(once.messages) == json.dumps(translate(request.messages, keep_foreign=keep_foreign).messages)
        assert translate(with_placeholders(history, keep_foreign=keep_foreign), keep_foreign=keep_foreign).pending == ()


deltas = st.one_of(
    st.builds(lambda t: {"type": "text_delta", "text": t}, st.text("a ", max_size=3)),
    st.builds(
        lambda t: {"type": "input_json_delta", "partial_json": t},
        st.sampled_from(["", "{", "}", '{"command": ', '"ls"', '"ls"}', "]", "x", '{"command": "ls"}']),
    ),
    anything,
)
starts = st.one_of(
    st.just({"type": "text", "text": ""}),
    st.builds(
        lambda name, given_: {"type": "tool_use", "id": "call_0", "name": name, "input": given_},
        st.sampled_from(
            ["bash_code_execution", "text_editor_code_execution", "get_weather", "other", "code_execution"]
        ),
        st.just({}) | anything,
    ),
    st.just({"type": "thinking", "thinking": "", "signature": ""}),
    anything,
)
indexes = st.integers(0, 2)
usages = anything | st.sampled_from(
    [{"output_tokens": 5}, {"output_tokens": None, "input_tokens": 2}, {"cache_creation": {"a": 1}, "iterations": [1]}]
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(lambda i, b: {"type": "content_block_start", "index": i, "content_block": b}, indexes, starts),
    st.builds(lambda i, d: {"type": "content_block_delta", "index": i, "delta": d}, indexes, deltas),
    st.builds(lambda i, d: {"type": "content_block_delta", "index": i, "delta": d}, indexes, deltas),
    st.builds(lambda i: {"type": "content_block_stop", "index": i}, indexes),
    st.just({"type": "ping"}),
    st.just({"type": "unknown", "index": 9}),
    st.builds(
        lambda delta, usage: {"type": "message_delta", "delta": delta, "usage": usage},
        st.builds(
            lambda reason: {"stop_reason": reason},
            st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence", None]),
        )
        | anything,
        usages,
    ),
)
message_starts = st.builds(
    lambda message: {"type": "message_start", "message": message}, anything | st.builds(lambda u: {"usage": u}, usages)
)
turns = st.builds(
    lambda start, middle: [start, *middle, {"type": "message_stop"}], message_starts, st.lists(events, max_size=12)
)


class Tolerant(ScriptedModel):
    """Takes any request: what it said itself may be what makes one invalid."""

    def __init__(self, *played: list[Event]) -> None:
        super().__init__()
        self.played = list(played)

    async def stream(self, request: Any, headers: Any) -> Any:
        self.requests.append(request)
        for event in self.played.pop(0) if self.played else [{"type": "message_start", "message": {}}]:
            yield event


@given(
    st.lists(turns, min_size=1, max_size=3), st.sampled_from([[NEWER], [OLDER], [NEWER, CLIENT_TOOL], [CLIENT_TOOL]])
)
@settings(max_examples=300)
async def test_any_upstream_gives_a_response_in_order(played: list[list[Event]], tools: list[Any]) -> None:
    response = await collect(make_loop({"tools": tools}, Tolerant(*played), bench=Bench()))
    check_order(response)
    message = folded(response)
    uses = [block["id"] for block in message["content"] if block.get("type") == "server_tool_use"]
    answered = [block["tool_use_id"] for block in message["content"] if "tool_use_id" in block]
    waiting = message["stop_reason"] == "tool_use"
    assert waiting or sorted(uses) == sorted(answered)
    history = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": message["content"]}]
    translate(parse({"model": "m", "messages": history, "tools": tools}).messages, keep_foreign=False)
