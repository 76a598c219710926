"""Recorded conversations of the hosted service: the model's part for the scripted upstream, and what must come out."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.script import Block, Json, Turn

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
_DIRECTORY = re.compile(r"/files/(input|output)/[0-9a-f]{16}")


@dataclass(frozen=True)
class Recording:
    """One recorded answer."""

    name: str
    blocks: list[Block]
    """The answer's content. The model's blocks keep the pieces in which they were streamed."""
    events: list[Json] | None
    """None for an answer that was recorded whole."""
    stop_reason: str

    @property
    def content(self) -> list[Json]:
        return [block.fields for block in self.blocks]

    @property
    def tool(self) -> Json:
        names = {block["name"] for block in self.content if block["type"] == "server_tool_use"}
        version = "20250522" if names == {"code_execution"} else "20250825"
        return {"type": f"code_execution_{version}", "name": "code_execution"}

    def turns(self) -> list[Turn]:
        """The model's part: what stands between two runs of results is one turn."""
        turns: list[list[Block]] = [[]]
        for block in self.blocks:
            if is_result(block.fields):
                if turns[-1]:
                    turns.append([])
                continue
            turns[-1].append(_as_the_model_says_it(block))
        last = len(turns) - 1
        return [
            Turn(turn, stop_reason=self.stop_reason if index == last else None)
            for index, turn in enumerate(turns)
            if turn
        ]


def recordings() -> list[Recording]:
    """Every recording in tests/data/recordings."""
    return [load(path) for path in sorted(RECORDINGS.glob("*.json*"))]


def load(path: Path) -> Recording:
    text = path.read_text()
    if path.suffix == ".json":
        whole = json.loads(text)
        return Recording(path.name, [Block(block) for block in whole["content"]], None, whole["stop_reason"])
    events = [json.loads(line) for line in text.splitlines() if line.strip()]
    delta = next(event for event in events if event["type"] == "message_delta")
    return Recording(path.name, list(_fold(events)), events, delta["delta"]["stop_reason"])


def is_result(block: Json) -> bool:
    return str(block["type"]).endswith("code_execution_tool_result")


def _as_the_model_says_it(block: Block) -> Block:
    if block.fields["type"] != "server_tool_use":
        return block
    fields = {"type": "tool_use", "name": block.fields["name"], "input": block.fields["input"]}
    return Block(fields, block.pieces)


def _fold(events: Iterable[Json]) -> Iterator[Block]:
    opening: Json = {}
    pieces: list[str] = []
    for event in events:
        match event["type"]:
            case "content_block_start":
                opening, pieces = event["content_block"], []
            case "content_block_delta":
                pieces.append(next(value for key, value in event["delta"].items() if key != "type"))
            case "content_block_stop" if opening["type"] == "server_tool_use":
                yield Block(opening | {"input": json.loads("".join(pieces))}, tuple(filter(None, pieces)))
            case "content_block_stop" if opening["type"] == "text":
                yield Block(opening | {"text": "".join(pieces)}, tuple(pieces))
            case "content_block_stop":
                yield Block(opening)


def comparable(content: Iterable[Json]) -> list[Any]:
    """Content in which ids are replaced by their order of appearance, and random directory names by dots."""
    order: dict[str, str] = {}

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(item, name) for name, item in value.items() if item is not None}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if key in {"id", "tool_use_id", "file_id"}:
            return order.setdefault(value, f"id-{len(order)}")
        return _DIRECTORY.sub(r"/files/\1/…", value) if isinstance(value, str) else value

    return [plain(block) for block in content]


def outline(events: Iterable[Json]) -> list[tuple[Any, ...]]:
    """The order of a stream: events with index and kind; deltas of one block in a row count as one, pings as none."""
    lines: list[tuple[Any, ...]] = []
    for event in events:
        if event["type"] == "ping":
            continue
        inner: Json = event.get("content_block") or event.get("delta") or {}
        kind = inner.get("type")
        line = (event["type"], event.get("index"), kind)
        if not lines or lines[-1] != line:
            lines.append(line)
    return lines
