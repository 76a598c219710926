"""An upstream whose model can't call tools: the first code block in its text becomes the call."""

import json
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from codecove import ids
from codecove.messages.fence_watch import Begin, Code, End, FenceWatch, Piece, Text
from codecove.messages.fenced_request import fenced
from codecove.messages.protocol import Block, Event, PassedHeaders, Upstream

_PYTHON, _BASH, _EDITOR = "code_execution", "bash_code_execution", "text_editor_code_execution"
_CUT = ("max_tokens", "stop_sequence", "refusal", "model_context_window_exceeded")
_CHARACTERS_PER_TOKEN = 4


class FencedUpstream:
    """See `Upstream`. Another one, for a model that knows of no tools."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        """One model turn. It ends with the first complete code block: what the model would say then is a guess."""
        asked = fenced(request)
        async with aclosing(self._upstream.stream(asked.body, headers)) as events:
            rewriter = _Rewriter(asked.offered) if asked.offered else None
            async for event in events:
                if rewriter is None:
                    yield event
                    continue
                for own in rewriter.feed(event):
                    yield own
                if rewriter.done:
                    return

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """The upstream's count of what it would be sent."""
        return await self._upstream.count_tokens(fenced(request).body, headers)


class _Rewriter:
    """Turns the events of a text into those of a text with a tool call at its end."""

    def __init__(self, offered: frozenset[str]) -> None:
        self.done = False
        """The call is complete and the turn was ended."""
        self._offered = offered
        self._watch = FenceWatch(_languages(offered))
        self._index = 0
        self._text_open = False
        self._other_open = False
        self._call: _CallInput | None = None
        self._blank = ""
        """Space at the beginning of a text block, which is none if nothing else comes."""
        self._deltas = 0
        self._characters = 0

    def feed(self, event: Event) -> list[Event]:
        """What takes the event's place."""
        match event.get("type"):
            case "content_block_start":
                return self._start(event)
            case "content_block_delta":
                return self._delta(event)
            case "content_block_stop":
                return self._stop_block() if self._other_open else []
            case "message_delta":
                reason = (event.get("delta") or {}).get("stop_reason")
                return [*self._finish(cut=reason in _CUT), event]
            case "message_stop":
                return [*self._finish(cut=False), event]
            case _:
                return [event]

    def _start(self, event: Event) -> list[Event]:
        block = event.get("content_block")
        events = self._stop_block() if self._other_open else []
        if not isinstance(block, dict) or block.get("type") == "text":
            text = block.get("text") if isinstance(block, dict) else None
            return [*events, *self._read(text)] if isinstance(text, str) else events
        events += self._finish(cut=False)
        if self._call is not None:
            return [*events, *self._end_turn()]
        self._other_open = True
        return [*events, {**event, "index": self._index}]

    def _delta(self, event: Event) -> list[Event]:
        if self._other_open:
            return [{**event, "index": self._index}]
        delta = event.get("delta")
        text = delta.get("text") if isinstance(delta, dict) else None
        if isinstance(text, str):
            self._deltas += 1
            self._characters += len(text)
            return self._read(text)
        return [{**event, "index": self._index}] if self._text_open else []

    def _read(self, text: str) -> list[Event]:
        events = self._show(self._watch.feed(text))
        return [*events, *self._end_turn()] if self._watch.done else events

    def _finish(self, *, cut: bool) -> list[Event]:
        """The text has ended."""
        if self._watch.done:
            return []
        events = self._show(self._watch.end(cut=cut))
        if self._call is None:
            self._watch = FenceWatch(_languages(self._offered))
        return [*events, *(self._stop_block() if self._text_open else [])]

    def _show(self, pieces: Iterable[Piece]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            match piece:
                case Text(text):
                    events += self._say(text)
                case Begin(language):
                    events += self._begin(language)
                case Code(text):
                    assert self._call is not None  # noqa: S101 -- Begin comes first
                    events += self._input(self._call.add(text))
                case End(complete):
                    assert self._call is not None  # noqa: S101
                    events += [*self._input(self._call.tail if complete else ""), *self._stop_block()]
        return events

    def _say(self, text: str) -> list[Event]:
        text = self._blank + text
        self._blank = ""
        events: list[Event] = []
        if not self._text_open:
            if not text.strip():
                self._blank = text
                return []
            self._text_open = True
            events.append(self._block_start({"type": "text", "text": ""}))
        return [*events, self._block_delta({"type": "text_delta", "text": text})]

    def _begin(self, language: str) -> list[Event]:
        events = self._stop_block() if self._text_open else []
        self._blank = ""
        self._call = _CallInput(language, self._offered)
        block = {"type": "tool_use", "id": ids.new("toolu"), "name": self._call.name, "input": {}}
        return [*events, self._block_start(block), *self._input(self._call.head)]

    def _input(self, text: str) -> list[Event]:
        return [self._block_delta({"type": "input_json_delta", "partial_json": text})] if text else []

    def _block_start(self, block: Block) -> Event:
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _block_delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _stop_block(self) -> list[Event]:
        self._text_open = self._other_open = False
        self._index += 1
        return [{"type": "content_block_stop", "index": self._index - 1}]

    def _end_turn(self) -> list[Event]:
        """End the turn before the upstream does. It has not said how much it wrote: local servers send one token a
        delta, others several."""
        self.done = True
        tokens = max(self._deltas, self._characters // _CHARACTERS_PER_TOKEN)
        delta = {"stop_reason": "tool_use", "stop_sequence": None}
        return [
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}},
            {"type": "message_stop"},
        ]


class _CallInput:
    """The JSON of a call's input, written while the code arrives."""

    def __init__(self, language: str, offered: frozenset[str]) -> None:
        self._raw = language == "text_editor"
        self._newlines = ""
        self.head, self.tail = "", ""
        if language == "text_editor":
            self.name = _EDITOR
        elif language == "python" and _PYTHON in offered:
            self.name, self.head, self.tail = _PYTHON, '{"code": "', '"}'
        else:
            self.name, self.head, self.tail = _BASH, '{"command": "', '"}'
            if language == "python":
                # The code is not known yet, so the delimiter is one that it can't have by chance.
                delimiter = f"PYTHON_{secrets.token_hex(4)}"
                self.head += _escaped(f"python3 - <<'{delimiter}'\n")
                self.tail = _escaped(f"\n{delimiter}") + self.tail

    def add(self, code: str) -> str:
        """The JSON for more code. Newlines at the end wait for what follows."""
        if self._raw:
            return code
        code = self._newlines + code
        kept = code.rstrip("\n")
        self._newlines = code[len(kept) :]
        return _escaped(kept)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _languages(offered: frozenset[str]) -> frozenset[str]:
    """What can be run with the tools at hand."""
    languages = {"python"} if offered & {_PYTHON, _BASH} else set()
    if _BASH in offered:
        languages.add("bash")
    if _EDITOR in offered:
        languages.add("text_editor")
    return frozenset(languages)
