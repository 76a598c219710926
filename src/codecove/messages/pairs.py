"""Which result answers which call, in a client's messages of any shape."""

import re
from collections import defaultdict
from typing import Any

from codecove.errors import InvalidRequest
from codecove.messages.protocol import Block, Message
from codecove.tools.results import CALL_NAMES, RESULT_TYPES

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")

Place = tuple[int, int]
"""Where a block stands: the index of its message and its index in the content."""


def blocks_of(content: Any) -> list[Block]:
    """A message's content as blocks; a string is one text block. A system message may have none."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def is_our_call(block: Block) -> bool:
    """A call of the code execution tool, of any version."""
    return block.get("type") == "server_tool_use" and str(block.get("name")) in CALL_NAMES


def is_our_result(block: Block) -> bool:
    """A result of the code execution tool, of any version."""
    return str(block.get("type")) in RESULT_TYPES


def has_our_blocks(messages: list[Message]) -> bool:
    """Whether a conversation has calls or results of the code execution tool."""
    return any(
        is_our_call(block) or is_our_result(block)
        for message in messages
        for block in blocks_of(message.get("content"))
    )


class Pairs:
    """Calls and results, matched by id. The nth result of an id answers the nth call of it.

    Results may stand anywhere: before their call, in another message, in a user message.
    Raises `InvalidRequest` for a result of ours that no call asked for, and for a second one of the same call.
    """

    def __init__(self, messages: list[Message]) -> None:
        self.call_of: dict[Place, Place] = {}
        """For each result that answers a call: where the call stands."""
        self.upstream_id: dict[Place, str] = {}
        """For each call: the id that the upstream knows it by. Ours are unique: other servers repeat theirs."""
        self.dropped: set[Place] = set()
        """Calls of the client's tools that code in the container made, and their results: the model saw neither."""
        self.opaque: set[Place] = set()
        """Calls of ours, and their results, that only the upstream which made them can read."""
        self._taken: set[str] = set()
        self._blocks: dict[Place, Block] = {}
        self._answers: dict[Place, Place] = {}
        calls: dict[str, list[Place]] = defaultdict(list)
        results: dict[str, list[Place]] = defaultdict(list)
        for index, message in enumerate(messages):
            for number, block in enumerate(blocks_of(message.get("content"))):
                self._sort_in((index, number), block, calls, results)
        self._match(calls, results)

    def block(self, place: Place) -> Block:
        """The call or result at a place."""
        return self._blocks[place]

    def answer(self, call: Place) -> Block | None:
        """The result of a call, if the conversation has it."""
        result = self._answers.get(call)
        return None if result is None else self._blocks[result]

    def has_early_result(self, call: Place) -> bool:
        """Whether the result of a call stands before it."""
        result = self._answers.get(call)
        return result is not None and result < call

    def _sort_in(
        self, place: Place, block: Block, calls: dict[str, list[Place]], results: dict[str, list[Place]]
    ) -> None:
        if is_our_call(block) or block.get("type") == "tool_use":
            found, key = calls, block.get("id")
            self._name(place, block)
            if _is_made_by_code(block):
                self.dropped.add(place)
        elif is_our_result(block) or block.get("type") == "tool_result":
            found, key = results, block.get("tool_use_id")
        else:
            return
        self._blocks[place] = block
        if isinstance(key, str):
            found[key].append(place)

    def _name(self, place: Place, block: Block) -> None:
        name = str(block.get("id"))
        if is_our_call(block):
            first = name = upstream_id(name)
            number = 1
            while name in self._taken:
                number += 1
                name = f"{first}_{number}"
        self.upstream_id[place] = name
        self._taken.add(name)

    def _match(self, calls: dict[str, list[Place]], results: dict[str, list[Place]]) -> None:
        for key, places in results.items():
            asked = calls.get(key, [])
            for call, result in zip(asked, places, strict=False):
                self._answers[call] = result
                self.call_of[result] = call
                if call in self.dropped:
                    self.dropped.add(result)
                if _is_encrypted(self._blocks[result]):
                    self.opaque |= {call, result}
            for result in places[len(asked) :]:
                self._refuse_stray(result, repeated=bool(asked))

    def _refuse_stray(self, result: Place, *, repeated: bool) -> None:
        block = self._blocks[result]
        if not is_our_result(block):
            return
        kind = block["type"]
        place = f"messages.{result[0]}.content.{result[1]}"
        if repeated:
            raise InvalidRequest(
                f"{place}: each `server_tool_use` must have a single result. "
                f"Found multiple `{kind}` blocks with id: {block['tool_use_id']}"
            )
        raise InvalidRequest(
            f"{place}: unexpected `tool_use_id` found in `{kind}` blocks: "
            f"{block['tool_use_id']}. Each `{kind}` block must have a corresponding `server_tool_use` block before it."
        )


def upstream_id(call_id: str) -> str:
    """The upstream's id for one of our calls: `srvtoolu_x` is `toolu_x` there."""
    return "toolu_" + _UNSAFE.sub("_", call_id.removeprefix("srvtoolu_"))


def _is_made_by_code(block: Block) -> bool:
    caller = block.get("caller")
    if block.get("type") != "tool_use" or not isinstance(caller, dict):
        return False
    return str(caller.get("type")).startswith("code_execution_")


def _is_encrypted(block: Block) -> bool:
    content = block.get("content")
    return isinstance(content, dict) and content.get("type") == "encrypted_code_execution_result"
