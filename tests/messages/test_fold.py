"""The JSON answer is the fold of the events."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from codecove.messages.fold import fold
from codecove.messages.protocol import Event
from codecove.messages.upstream_events import unfold

RECORDINGS = Path(__file__).parent.parent / "data/recordings"
START: Event = {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"input_tokens": 3}}}


async def play(*events: Event) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event


async def folded(*events: Event) -> dict[str, Any]:
    return await fold(play(*events))


def block(start: Event, *deltas: Event) -> list[Event]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
    ]


async def test_a_recorded_stream_folds_to_its_blocks() -> None:
    lines = (RECORDINGS / "20250825-editor-and-bash.sse.jsonl").read_text().splitlines()
    message = await folded(*(json.loads(line) for line in lines))
    assert [b["type"] for b in message["content"]][:3] == [
        "text",
        "server_tool_use",
        "text_editor_code_execution_tool_result",
    ]
    assert message["content"][1]["input"]["command"] == "create"
    assert message["content"][1]["input"]["file_text"].startswith("def fibonacci(n):")
    assert message["container"]["id"].startswith("container_")
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["service_tier"] == "standard"


async def test_unfolding_and_folding_give_the_same_message() -> None:
    recording = json.loads((RECORDINGS / "20250825-editor-and-bash.json").read_text())
    container = recording.pop("container")
    assert await folded(*unfold({**recording, "container": container})) == {**recording, "container": container}


async def test_every_kind_of_delta_finds_its_field() -> None:
    message = await folded(
        START,
        *block({"type": "text", "text": "A"}, {"type": "text_delta", "text": "b"}, {"type": "text_delta", "text": "c"}),
        *block(
            {"type": "text", "text": ""},
            {"type": "citations_delta", "citation": {"n": 1}},
            {"type": "citations_delta", "citation": {"n": 2}},
        ),
        *block(
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm"},
            {"type": "signature_delta", "signature": "s"},
        ),
        *block({"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"}),
        *block({"type": "hologram"}, {"type": "hologram_delta", "data": {"x": 1}}),
    )
    assert message["content"] == [
        {"type": "text", "text": "Abc"},
        {"type": "text", "text": "", "citations": [{"n": 1}, {"n": 2}]},
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "compaction", "content": "short"},
        {"type": "hologram", "data": {"x": 1}},
    ]


@pytest.mark.parametrize(
    ("pieces", "value"), [([], {"a": 0}), ([""], {"a": 0}), (['{"b"', ":1}"], {"b": 1}), (['{"b": "x'], {"b": "x"})]
)
async def test_an_input_is_put_together_and_a_cut_one_kept_as_far_as_it_goes(pieces: list[str], value: Any) -> None:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    message = await folded(START, *block({"type": "tool_use", "input": {"a": 0}}, *deltas))
    assert message["content"][0]["input"] == value


async def test_the_message_delta_completes_the_message() -> None:
    message = await folded(
        START,
        {"type": "ping"},
        {"type": "unheard_of"},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "container": {"id": "c"}},
            "usage": {"input_tokens": None, "output_tokens": 5},
            "context_management": {"applied_edits": []},
        },
    )
    assert message == {
        "id": "msg_1",
        "content": [],
        "usage": {"input_tokens": 3, "output_tokens": 5},
        "stop_reason": "end_turn",
        "container": {"id": "c"},
        "context_management": {"applied_edits": []},
    }


async def test_the_events_are_closed_when_one_fails() -> None:
    closed = []

    async def failing() -> AsyncGenerator[Event, None]:
        try:
            yield START
            raise RuntimeError("upstream")
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="upstream"):
        await fold(failing())
    assert closed
