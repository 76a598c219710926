"""One model turn: the upstream's events, rewritten into the response's."""

import json
from dataclasses import dataclass
from typing import Any

from codecove import ids
from codecove.messages.json_prefix import JsonPrefix
from codecove.messages.protocol import Block, Event
from codecove.tools.base import Call
from codecove.tools.declaration import Declaration
from codecove.tools.results import CALL_NAMES

# With these the model was done asking: the calls are what the turn is about, whatever else a server says of it.
_ASKING = (None, "end_turn", "tool_use", "stop", "tool_calls")
_CUT = {"max_tokens": "the answer reached max_tokens", "stop_sequence": "the answer reached a stop sequence"}


@dataclass(frozen=True, slots=True)
class Offered:
    """Which tools the upstream was offered."""

    ours: tuple[str, ...]
    """The call names of our tool, the primary one first; empty if the request doesn't declare it."""
    others: frozenset[str]
    """The names of the client's own tools."""
    has_unnamed: bool
    """A tool set whose members' names aren't known here is among them: any other name may be one of these."""

    def is_ours(self, name: str) -> bool:
        """Whether a call of that name is ours to answer: one of ours, or one that nobody offered."""
        if not self.ours or name in self.others:
            return False
        return name in self.ours or not self.has_unnamed


def offered(tools: object, declared: Declaration | None) -> Offered:
    """What a request's `tools` offer: the declaration's tool, and what stands beside it."""
    entries = [entry for entry in tools if isinstance(entry, dict)] if isinstance(tools, list) else []
    others = [entry for entry in entries if declared is None or entry is not declared.entry]
    return Offered(
        ours=() if declared is None else declared.tool.call_names,
        others=frozenset(str(entry["name"]) for entry in others if "name" in entry),
        has_unnamed=any("name" not in entry or "toolset" in str(entry.get("type")) for entry in others),
    )


@dataclass(slots=True)
class _OurCall:
    """A call of ours while its input arrives."""

    id: str
    name: str
    asked_name: str
    given: Any
    """The `input` that the block began with: some servers send it whole there."""
    scanner: JsonPrefix
    raw_seen: bool = False


class Turn:
    """Rewrites the events of one model turn.

    Blocks get the response's running index; a server's own numbering, which may be missing or repeated, says nothing
    that their order doesn't. Calls of ours become `server_tool_use` with a new id. What is unknown is passed on.
    """

    def __init__(self, tools: Offered, *, first_index: int) -> None:
        self.message: dict[str, Any] = {}
        """The upstream's message as its `message_start` had it."""
        self.delta: Event = {}
        """The upstream's `message_delta`; several are merged."""
        self.next_index = first_index
        """The index that the next block of the response gets."""
        self.has_client_calls = False
        self._tools = tools
        self._calls: list[_OurCall] = []
        self._open: _OurCall | bool = False
        """The block that has begun and not ended: one of ours, or another (True)."""

    @property
    def has_calls(self) -> bool:
        """Whether the model called our tool."""
        return bool(self._calls)

    @property
    def stop_reason(self) -> str | None:
        """Why the model stopped, put right where it contradicts what the model did."""
        reason = _object(self.delta.get("delta")).get("stop_reason")
        if self._calls or self.has_client_calls:
            return "tool_use" if reason in _ASKING else str(reason)
        return "end_turn" if reason in (None, "tool_use", "stop", "tool_calls") else str(reason)

    @property
    def usage(self) -> dict[str, Any]:
        """The tokens of this turn: the counts that came last."""
        last = {key: value for key, value in _object(self.delta.get("usage")).items() if value is not None}
        return {**_object(self.message.get("usage")), **last}

    def calls(self) -> list[Call]:
        """The calls of our tool, in the order asked, once the turn has ended."""
        return [self._finished(call) for call in self._calls]

    def feed(self, event: Event) -> list[Event]:
        """Take one event of the upstream's; the value is what the client gets for it."""
        match event.get("type"):
            case "message_start":
                self.message = _object(event.get("message"))
                return []
            case "content_block_start":
                return self._start(event)
            case "content_block_delta":
                return self._delta(event)
            case "content_block_stop":
                return self._stop(event)
            case "message_delta":
                self._merge(event)
                return self._stop({})
            case "message_stop":
                return self._stop({})
            case _ if "index" in event:
                return [{**event, "index": self.next_index}]
            case _:
                return [event]

    def _start(self, event: Event) -> list[Event]:
        events = self._stop({})
        block = event.get("content_block")
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            block = {"type": "text", "text": ""}
        if block.get("type") != "tool_use" or not self._tools.is_ours(str(block.get("name"))):
            self.has_client_calls = self.has_client_calls or block.get("type") == "tool_use"
            self._open = True
            return [*events, {**event, "index": self.next_index, "content_block": block}]
        return [*events, *self._start_ours(block)]

    def _start_ours(self, block: Block) -> list[Event]:
        asked = str(block.get("name"))
        # A client knows the names of every version; what it gets for any other is the tool's primary call.
        name = asked if asked in CALL_NAMES else self._tools.ours[0]
        call = _OurCall(ids.new("srvtoolu"), name, asked, block.get("input"), JsonPrefix())
        self._calls.append(call)
        self._open = call
        shown = {"type": "server_tool_use", "id": call.id, "name": name, "input": {}}
        start = {"type": "content_block_start", "index": self.next_index, "content_block": shown}
        return [start, self._input_delta("")]

    def _delta(self, event: Event) -> list[Event]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return []
        if isinstance(self._open, _OurCall):
            piece = delta.get("partial_json")
            if not isinstance(piece, str):
                return []
            self._open.raw_seen = self._open.raw_seen or bool(piece.strip())
            passed = self._open.scanner.feed(piece)
            return [self._input_delta(passed)] if passed else []
        events = []
        if not self._open:
            if delta.get("type") != "text_delta":
                return []
            events = self._start({"type": "content_block_start", "content_block": {"type": "text", "text": ""}})
        return [*events, {**event, "index": self.next_index}]

    def _stop(self, event: Event) -> list[Event]:
        if not self._open:
            return []
        events = self._end_input(self._open) if isinstance(self._open, _OurCall) else []
        events.append({**event, "type": "content_block_stop", "index": self.next_index})
        self._open = False
        self.next_index += 1
        return events

    def _end_input(self, call: _OurCall) -> list[Event]:
        text = ""
        if not call.raw_seen and call.given:
            text = call.scanner.feed(call.given if isinstance(call.given, str) else json.dumps(call.given))
        elif not call.raw_seen:
            text = call.scanner.feed("{}")
        text += call.scanner.close()
        return [self._input_delta(text)] if text else []

    def _input_delta(self, text: str) -> Event:
        delta = {"type": "input_json_delta", "partial_json": text}
        return {"type": "content_block_delta", "index": self.next_index, "delta": delta}

    def _merge(self, event: Event) -> None:
        merged = {**self.delta, **event}
        for key in ("delta", "usage"):
            merged[key] = {**_object(self.delta.get(key)), **_object(event.get(key))}
        self.delta = merged

    def _finished(self, call: _OurCall) -> Call:
        return Call(id=call.id, name=call.name, input=call.scanner.value(), problem=self._problem(call))

    def _problem(self, call: _OurCall) -> str | None:
        if self.stop_reason == "refusal":
            return "Not run: the model's turn ended with a refusal."
        if call.asked_name not in self._tools.ours:
            return f"There is no tool `{call.asked_name}` here. Call {' or '.join(self._tools.ours)}."
        if call.scanner.error is not None:
            return f"The input is not a JSON object: {call.scanner.error}. Send the call again with valid JSON."
        if call.scanner.was_cut:
            why = _CUT.get(self.stop_reason or "", "it ends in the middle")
            return f"The JSON of the input is not complete: {why}. Send the call again, with a shorter input."
        return None


def _object(value: Any) -> dict[str, Any]:
    """The value if it is an object: a field that a server has got wrong counts as left out."""
    return value if isinstance(value, dict) else {}
