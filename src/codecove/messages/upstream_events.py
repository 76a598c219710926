"""An upstream's answer as events, from servers that take the protocol more or less seriously."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

import httpx2

from codecove.messages import upstream_errors
from codecove.messages.protocol import Block, Event

MAX_EVENT = 64 * 2**20
"""Bytes of one event, and of an answer that is not a stream."""
_DRAIN_SECONDS = 0.25


async def read_events(response: httpx2.Response) -> AsyncGenerator[Event, None]:
    """The events of an answer, up to `message_stop`.

    Lines that are no JSON and events without a type are left out. Raises `UpstreamError` for an `error` event, a
    stream that ends too early and an answer that is neither a stream nor a message.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        for event in unfold(await _read_json(response)):
            yield event
        return
    if media_type != "text/event-stream":
        raise upstream_errors.not_an_answer(f"content type {media_type!r}")
    source = httpx2.EventSource(response, max_event_size=MAX_EVENT)
    async with aclosing(cast("AsyncGenerator[httpx2.ServerSentEvent, None]", aiter(source))) as lines:
        async for sse in lines:
            for event in _parse(sse):
                if event["type"] == "error":
                    raise upstream_errors.of_event(event)
                yield event
                if event["type"] == "message_stop":
                    await _drain(lines)
                    return
    raise upstream_errors.broken_off()


async def _drain(lines: AsyncIterator[Any]) -> None:
    """Read to the end, so that the connection can serve the next turn; not from a server that keeps it open."""
    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in lines:
                pass


def _parse(sse: httpx2.ServerSentEvent) -> Iterator[Event]:
    """Usually one event; several when a server leaves out the empty lines between them."""
    for text in (sse.data, *(sse.data.split("\n") if "\n" in sse.data else ())):
        try:
            event = load(text)
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        kind = event.get("type") or ("error" if "error" in event else sse.event)
        if isinstance(kind, str):
            yield {**event, "type": kind}
        if text is sse.data:
            return


def load(text: str) -> Any:
    """Parse JSON into what a client can read and send back. Raises `ValueError`.

    Half a surrogate pair becomes U+FFFD; `NaN` and the like, which only some parsers take, become null.
    """
    try:
        value = json.loads(text, parse_constant=lambda _: None)
        if "\\ud" in text or "\\uD" in text:
            written = json.dumps(value, ensure_ascii=False)
            value = json.loads(written.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return value


async def _read_json(response: httpx2.Response) -> Any:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_EVENT:
            raise upstream_errors.not_an_answer("it is too long")
    try:
        return load(body.decode("utf-8", errors="replace"))
    except ValueError:
        raise upstream_errors.not_an_answer("broken JSON") from None


def unfold(message: Any) -> Iterator[Event]:
    """The events whose fold is `message`, for a server that ignores `stream`. Raises `UpstreamError`."""
    if isinstance(message, dict) and ("error" in message or message.get("type") == "error"):
        raise upstream_errors.of_event(message)
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        raise upstream_errors.not_an_answer("JSON without `content`")
    ending = {key: message.get(key) for key in ("stop_reason", "stop_sequence")}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None}}
    blocks = [block for block in message["content"] if isinstance(block, dict)]
    for index, block in enumerate(blocks):
        begun, deltas = _unfold_block(block)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": ending, "usage": message.get("usage") or {}}
    yield {"type": "message_stop"}


def _unfold_block(block: Block) -> tuple[Block, list[dict[str, Any]]]:
    """How a block begins in a stream, and the deltas that make it whole."""
    match block.get("type"):
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": str(block.get("text") or "")}]
        case "tool_use":
            text = json.dumps(block.get("input") or {})
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
        case _:
            return block, []
