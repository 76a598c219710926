"""What a scripted model says: turns made of blocks, and the ways in which an upstream can fail."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """One content block of the model, and the pieces it is streamed in (None: cut evenly)."""

    fields: Json
    pieces: tuple[str, ...] | None = None


def say(text: str) -> Block:
    return Block({"type": "text", "text": text})


def think(text: str, signature: str) -> Block:
    return Block({"type": "thinking", "thinking": text, "signature": signature})


def call(name: str, arguments: Json | str, *, call_id: str | None = None) -> Block:
    """A tool call. `arguments` as text is sent as it is, which allows JSON that is broken."""
    fields: Json = {"type": "tool_use", "name": name, "input": {}}
    if call_id is not None:
        fields["id"] = call_id
    if isinstance(arguments, str):
        return Block(fields, (arguments,))
    return Block(fields | {"input": arguments})


def python(code: str) -> Block:
    """A call of the older tool."""
    return call("code_execution", {"code": code})


def bash(command: str) -> Block:
    return call("bash_code_execution", {"command": command})


def edit(**arguments: Any) -> Block:
    return call("text_editor_code_execution", arguments)


@dataclass(frozen=True)
class Failure:
    """What the stream does instead of going on: see `Turn.failure`."""

    after: int
    """Events sent before it."""
    kind: Literal["drop", "end", "error", "garbage", "stall"]
    """drop: the connection breaks. end: the body ends early, cleanly. error: an `error` event.
    garbage: bytes that are no event. stall: nothing more comes for `seconds`, then it goes on."""
    error: Json = field(default_factory=lambda: {"type": "overloaded_error", "message": "Overloaded"})
    seconds: float = 0


@dataclass(frozen=True)
class Turn:
    """One answer of the model."""

    content: Sequence[Block]
    stop_reason: str | None = None
    """None: `tool_use` if a tool is called, else `end_turn`."""
    stop_sequence: str | None = None
    usage: Json = field(default_factory=lambda: {"input_tokens": 100, "output_tokens": 20})
    chunk: int = 9
    """Characters of a delta, for blocks without `pieces`."""
    delay: float = 0
    """Seconds before the first byte of the answer."""
    failure: Failure | None = None

    @property
    def final_stop_reason(self) -> str:
        calls = any(block.fields["type"] == "tool_use" for block in self.content)
        return self.stop_reason or ("tool_use" if calls else "end_turn")


@dataclass(frozen=True)
class Refusal:
    """An HTTP error in place of an answer; `body` replaces the API's own error body."""

    status: int
    error_type: str = "api_error"
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0


Step = Turn | Refusal


def final_blocks(turn: Turn, ids: Iterator[str]) -> list[Json]:
    """The blocks of a turn, each tool call with an id."""
    return [
        block.fields | {"id": block.fields.get("id") or next(ids)}
        if block.fields["type"] == "tool_use"
        else block.fields
        for block in turn.content
    ]


def message(turn: Turn, blocks: list[Json], *, message_id: str, model: str) -> Json:
    """A turn as one JSON answer."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": turn.final_stop_reason,
        "stop_sequence": turn.stop_sequence,
        "usage": turn.usage,
    }


def events(turn: Turn, blocks: list[Json], *, message_id: str, model: str) -> Iterator[Json]:
    """A turn as stream events."""
    start = message(turn, [], message_id=message_id, model=model)
    first_usage = turn.usage | {"output_tokens": 1}
    yield {
        "type": "message_start",
        "message": start | {"stop_reason": None, "stop_sequence": None, "usage": first_usage},
    }
    yield {"type": "ping"}
    for index, (source, block) in enumerate(zip(turn.content, blocks, strict=True)):
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
        for delta in _deltas(source, block, turn.chunk):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": turn.final_stop_reason, "stop_sequence": turn.stop_sequence},
        "usage": {"output_tokens": turn.usage["output_tokens"]},
    }
    yield {"type": "message_stop"}


_EMPTY: Json = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}


def _opening(block: Json) -> Json:
    empty = _EMPTY.get(block["type"], {})
    opening: Json = block | empty
    opening.pop("citations", None)
    return opening


def _deltas(source: Block, block: Json, chunk: int) -> Iterator[Json]:
    match block["type"]:
        case "text":
            for citation in block.get("citations") or []:
                yield {"type": "citations_delta", "citation": citation}
            for piece in source.pieces or _cut(block["text"], chunk):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in source.pieces or _cut(block["thinking"], chunk):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            text = json.dumps(block["input"], ensure_ascii=False)
            for piece in source.pieces or _cut(text, chunk):
                yield {"type": "input_json_delta", "partial_json": piece}


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
