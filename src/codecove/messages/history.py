"""The client's messages as an upstream model may see them.

A client sends assistant content back as it got it: `server_tool_use` and result blocks, in one assistant message. The
upstream knows ordinary `tool_use` and `tool_result` pairs, with every result in the user turn right after the turn
that asked. The translation is a pure function, to the byte: the same messages always give the same turns, and a
longer conversation begins with the turns of the shorter one, or the upstream's prompt cache would be of no use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codecove.errors import InvalidRequest
from codecove.messages.foreign import is_foreign, note_of
from codecove.messages.pairs import Pairs, Place, blocks_of, is_our_call, is_our_result
from codecove.messages.protocol import Block, Message
from codecove.tools.results import error_block, to_tool_result

_THOUGHTS = ("thinking", "redacted_thinking")
"""A turn that ends with one was cut off; the API refuses it in a history."""
# What servers and frameworks add to blocks they send back, and no input type has.
_ADDED = ("caller", "abort_reason", "index")


@dataclass(frozen=True, slots=True)
class Translation:
    """What goes upstream, and what has to be run before anything can."""

    messages: list[Message]
    pending: tuple[Block, ...]
    """The `server_tool_use` blocks at the end that have no result yet, in the order asked."""


def translate(messages: list[Message], *, keep_foreign: bool) -> Translation:
    """Translate a conversation.

    With `keep_foreign`, blocks of other server tools stay as they came; without, a short note takes their place.
    Raises `InvalidRequest` where a result is missing or has no call.
    """
    walk = _Walk(Pairs(messages), keep_foreign=keep_foreign)
    for index, message in enumerate(messages):
        walk.take(index, message)
    walk.end_turn()
    return Translation(messages=walk.out, pending=walk.pending())


def with_placeholders(messages: list[Message], *, keep_foreign: bool) -> list[Message]:
    """The conversation with a result for every call that has none yet, to count its tokens."""
    pending = translate(messages, keep_foreign=keep_foreign).pending
    results = [error_block(block["name"], block["id"], "unavailable", "Not run yet.") for block in pending]
    return [*messages, {"role": "assistant", "content": results}] if results else messages


@dataclass(slots=True)
class _Turn:
    """One assistant turn that is being put together."""

    message: Message
    """The client's message that it began in."""
    content: list[Block] = field(default_factory=list)
    plain: str | None = None
    """The content, when it is nothing but one string."""
    calls: list[Place] = field(default_factory=list)
    """Where its tool calls stand in the client's messages: ours and the client's own."""
    answered: bool = False
    """A result of one of its calls has been seen: what follows belongs to the next turn."""


@dataclass(frozen=True, slots=True)
class _Unanswered:
    index: int
    block: Block
    turn: int


class _Walk:
    """Goes through the client's blocks in order and writes the upstream's turns."""

    def __init__(self, pairs: Pairs, *, keep_foreign: bool) -> None:
        self.out: list[Message] = []
        self._pairs = pairs
        self._keep_foreign = keep_foreign
        self._turn: _Turn | None = None
        self._turns = 0
        self._unanswered: list[_Unanswered] = []
        self._asked_after: bool | None = None
        """After the last assistant turn: None, no message; True, one that answers client tools; False, another."""

    def take(self, index: int, message: Message) -> None:
        """Translate one of the client's messages."""
        if message["role"] == "assistant":
            self._take_assistant(index, message)
        else:
            self._take_other(index, message)

    def _take_assistant(self, index: int, message: Message) -> None:
        content = message["content"]
        for number, block in enumerate(blocks_of(content)):
            place = (index, number)
            if place in self._pairs.dropped:
                continue
            if self._is_readable_result(block, place):
                self._see_result(place)
                continue
            translated = self._translate(block, place)
            if translated is None:
                continue
            turn = self._open_turn(message)
            turn.plain = content if isinstance(content, str) and not turn.content else None
            turn.content.append(translated)
            if translated.get("type") == "tool_use":
                turn.calls.append(place)
                turn.answered = turn.answered or self._pairs.has_early_result(place)

    def _is_readable_result(self, block: Block, place: Place) -> bool:
        return is_our_result(block) and place not in self._pairs.opaque

    def _see_result(self, place: Place) -> None:
        call = self._pairs.call_of.get(place)
        if self._turn is not None and call in self._turn.calls:
            self._turn.answered = True

    def _open_turn(self, message: Message) -> _Turn:
        if self._turn is not None and self._turn.answered:
            self.end_turn()
        if self._turn is None:
            self._turn = _Turn(message)
            self._turns += 1
            self._asked_after = None
        return self._turn

    def _translate(self, block: Block, place: Place) -> Block | None:
        if _is_blank_text(block):
            return None
        if is_our_call(block) and place not in self._pairs.opaque:
            call: Block = {
                "type": "tool_use",
                "id": self._pairs.upstream_id[place],
                "name": block["name"],
                "input": block["input"],
            }
            return _with_cache_control(call, block)
        if is_foreign(block):
            return block if self._keep_foreign else _with_cache_control(note_of(block), block)
        return {key: value for key, value in block.items() if key not in _ADDED}

    def _take_other(self, index: int, message: Message) -> None:
        content = message.get("content")
        rest: list[Block] = []
        answers = False
        for number, block in enumerate(blocks_of(content)):
            place = (index, number)
            if place in self._pairs.dropped or self._is_readable_result(block, place):
                continue
            if place in self._pairs.call_of:
                answers = True
                continue
            rest.append(block)
        if len(rest) > 1:
            rest = [block for block in rest if block.get("text") != "" or block.get("type") != "text"] or rest[:1]
        had_turn = self._turn is not None
        self.end_turn()
        if had_turn or self._asked_after is None:
            self._asked_after = answers
        elif answers:
            self._asked_after = True
        if message["role"] != "user":
            self.out.append(message)
        elif self._last_is_user():
            self._append_user(rest)
        elif isinstance(content, str) or not content:
            self.out.append(message)
        elif rest:
            self.out.append({**message, "content": rest})

    def _last_is_user(self) -> bool:
        return bool(self.out) and self.out[-1]["role"] == "user"

    def _append_user(self, blocks: Iterable[Block]) -> None:
        """Add to the user turn that ends the output, or begin one: strict servers want the roles to alternate."""
        if not self._last_is_user():
            self.out.append({"role": "user", "content": list(blocks)})
            return
        last = self.out[-1]
        self.out[-1] = {"role": "user", "content": [*blocks_of(last.get("content")), *blocks]}

    def end_turn(self) -> None:
        """Write the assistant turn and the results of its calls."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        while turn.content and turn.content[-1].get("type") in _THOUGHTS:
            turn.content.pop()
        if not turn.content:
            return
        if self.out and self.out[-1]["role"] == "assistant":
            before = self.out.pop()
            turn.content[:0] = blocks_of(before["content"])
            turn.plain = None
        content: Any = turn.plain if turn.plain is not None else turn.content
        self.out.append({**turn.message, "content": content})
        results = []
        for place in turn.calls:
            answer = self._pairs.answer(place)
            if answer is not None:
                results.append(self._result(place, answer))
            elif is_our_call(self._pairs.block(place)):
                self._unanswered.append(_Unanswered(place[0], self._pairs.block(place), self._turns))
        if results:
            self._append_user(results)

    def _result(self, call: Place, answer: Block) -> Block:
        result = to_tool_result(answer) if is_our_result(answer) else answer
        return {**result, "tool_use_id": self._pairs.upstream_id[call]}

    def pending(self) -> tuple[Block, ...]:
        """The calls that may be run now. Raises `InvalidRequest` for one that should have had its result."""
        for call in self._unanswered:
            if call.turn < self._turns or self._asked_after is False:
                raise missing_result(call.index, call.block)
        return tuple(call.block for call in self._unanswered)


def missing_result(index: int, block: Block) -> InvalidRequest:
    """The error for a call of ours without a result, in the words of the hosted service."""
    name, call_id = block["name"], block["id"]
    return InvalidRequest(
        f"messages.{index}: `{name}` tool use with id `{call_id}` was found without a corresponding "
        f"`{name}_tool_result` block"
    )


def _with_cache_control(block: Block, original: Mapping[str, Any]) -> Block:
    """The block with the cache breakpoint of the one it stands for."""
    if original.get("cache_control") is None:
        return block
    return {**block, "cache_control": original["cache_control"]}


def _is_blank_text(block: Block) -> bool:
    """Assistant text of nothing but space: models write it before a call, and the API refuses it in a history."""
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and not text.strip()
