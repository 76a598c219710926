"""The built-in model `codecove/blocks`: no language model, it runs the code blocks that it is given.

It is there so that a server can be tried, demonstrated and checked with no key and no download. It speaks the same
protocol as any upstream: it gets the request as an upstream gets it, and calls the tools that it is offered.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from codecove import ids
from codecove.messages.estimate import input_tokens
from codecove.messages.fences import Fence, ToolCall, call_for, fences_in
from codecove.messages.pairs import blocks_of
from codecove.messages.protocol import Block, Event, PassedHeaders

NAME = "codecove/blocks"
_ABOUT = (
    f"This is {NAME}, which is no language model: it runs the fenced code blocks of your last message and reports what "
    "came of them. Set COVE_UPSTREAM_URL to have a model answer."
)
_HOW = "Send a message with a ```python, ```bash or ```text_editor block (the last holds the call's JSON)."
_NO_TOOL = "This request declares no code execution tool: add code_execution_20250825 to `tools`."
_PIECE = 24
_SHOWN = 2000
_CHARACTERS_PER_TOKEN = 4


class BlocksModel:
    """See `Upstream`."""

    async def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        """One turn: the calls for the last message's code blocks, or the report on what they gave."""
        del headers
        for event in _events(request, _answer(request)):
            # Others get a turn between two events, as they do while a real model thinks.
            await asyncio.sleep(0)
            yield event

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """A fourth of the characters: this model has no tokens."""
        del headers
        return {"input_tokens": input_tokens(request)}


def _answer(request: dict[str, Any]) -> list[Block]:
    last = request["messages"][-1]
    blocks = blocks_of(last.get("content"))
    results = [block for block in blocks if block.get("type") == "tool_result"]
    text = "\n\n".join(str(block.get("text")) for block in blocks if block.get("type") == "text")
    fences = fences_in(text) if last["role"] == "user" else []
    if fences:
        return _run(fences, request)
    if results and not text:
        return [_text(_report(results))]
    return [_text(f"{_ABOUT} {_HOW}")]


def _run(fences: list[Fence], request: dict[str, Any]) -> list[Block]:
    offered = frozenset(str(tool.get("name")) for tool in request.get("tools") or [] if isinstance(tool, dict))
    if not any("code_execution" in name for name in offered) or request.get("tool_choice") == {"type": "none"}:
        return [_text(f"{_ABOUT} {_NO_TOOL}")]
    outcomes = [call_for(fence, offered) for fence in fences]
    calls = [outcome for outcome in outcomes if isinstance(outcome, ToolCall)]
    problems = [f"Not run: {outcome}." for outcome in outcomes if isinstance(outcome, str)]
    said = [f"Running {_count(len(calls), 'code block')}."] if calls else [_ABOUT]
    blocks = [_text(" ".join([*said, *problems]))]
    blocks += [
        {"type": "tool_use", "id": ids.new("toolu"), "name": call.name, "input": call.arguments} for call in calls
    ]
    return blocks


def _report(results: list[Block]) -> str:
    failed = sum(1 for result in results if result.get("is_error"))
    outcome = "all gave a result" if not failed else f"{failed} of them failed"
    parts = [f"Ran {_count(len(results), 'code block')}; {outcome}. This is what came back:"]
    parts += [_quoted(_output(result)) for result in results]
    return "\n\n".join(parts)


def _output(result: Block) -> str:
    content = result.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in content or [])


def _quoted(text: str) -> str:
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + f"\n… {len(text) - _SHOWN} more characters"
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _events(request: dict[str, Any], blocks: list[Block]) -> Iterator[Event]:
    usage = {
        "input_tokens": input_tokens(request),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 1,
    }
    yield {
        "type": "message_start",
        "message": {
            "id": ids.new("msg"),
            "type": "message",
            "role": "assistant",
            "model": request.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        },
    }
    written = 0
    for index, block in enumerate(blocks):
        begun, kind, key, whole = _shape(block)
        written += len(whole)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for start in range(0, len(whole), _PIECE):
            delta = {"type": kind, key: whole[start : start + _PIECE]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": max(1, written // _CHARACTERS_PER_TOKEN)},
    }
    yield {"type": "message_stop"}


def _shape(block: Block) -> tuple[Block, str, str, str]:
    """How a block begins, and its delta: type, key and the whole text."""
    if block["type"] == "text":
        return {**block, "text": ""}, "text_delta", "text", block["text"]
    return {**block, "input": {}}, "input_json_delta", "partial_json", json.dumps(block["input"], ensure_ascii=False)
