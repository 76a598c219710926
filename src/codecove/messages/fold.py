"""The JSON answer: the fold of the same events that a stream carries."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from codecove.messages.json_prefix import JsonPrefix
from codecove.messages.protocol import Block, Event


async def fold(events: AsyncGenerator[Event, None]) -> dict[str, Any]:
    """The message that `events` tell of. Closes `events`; raises what they raise."""
    folder = Folder()
    async with aclosing(events):
        async for event in events:
            folder.add(event)
    return folder.message


class Folder:
    """Puts a message together, event by event."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        """The message so far. A block's text is in it once the block has ended."""
        self._block: Block | None = None
        self._pieces: dict[str, list[str]] = {}

    @property
    def content(self) -> list[Block]:
        """The blocks that have begun."""
        content: list[Block] = self.message.setdefault("content", [])
        return content

    def add(self, event: Event) -> None:
        """Take the next event; one of an unknown type changes nothing."""
        match event.get("type"):
            case "message_start":
                self.message = {**event["message"], "content": list(event["message"].get("content") or [])}
            case "content_block_start":
                self._block = dict(event["content_block"])
                self._pieces = {}
                self.content.append(self._block)
            case "content_block_delta":
                self._add_delta(event["delta"])
            case "content_block_stop":
                self._end_block()
            case "message_delta":
                self._add_message_delta(event)
            case _:
                pass

    def _add_delta(self, delta: dict[str, Any]) -> None:
        if self._block is None:
            return
        for key, value in delta.items():
            if key == "type":
                continue
            if key == "citation":
                self._block["citations"] = [*(self._block.get("citations") or []), value]
            elif isinstance(value, str) and key != "signature":
                self._pieces.setdefault(key, []).append(value)
            else:
                self._block[key] = value

    def _end_block(self) -> None:
        if self._block is None:
            return
        for key, pieces in self._pieces.items():
            if key == "partial_json":
                _add_input(self._block, "".join(pieces))
            else:
                begun = self._block.get(key)
                self._block[key] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        self._block = None

    def _add_message_delta(self, event: Event) -> None:
        for key, value in event.items():
            if key == "delta":
                self.message.update(value)
            elif key == "usage":
                known = {name: count for name, count in value.items() if count is not None}
                self.message["usage"] = {**(self.message.get("usage") or {}), **known}
            elif key != "type":
                self.message[key] = value


def _add_input(block: Block, text: str) -> None:
    """Parse a tool's input. One that an upstream has cut or broken is kept as far as it goes."""
    if not text.strip():
        return
    try:
        block["input"] = json.loads(text)
    except ValueError:
        scanner = JsonPrefix()
        scanner.feed(text)
        scanner.close()
        block["input"] = scanner.value()
