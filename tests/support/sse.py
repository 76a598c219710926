"""The raw events of a stream, read without a client library, for checks of order and form."""

import json
from collections.abc import Iterable, Iterator

from tests.support.script import Json


def read_events(lines: Iterable[str]) -> Iterator[Json]:
    """The events of an SSE body. Each has an `event` line that names the data's type, and one `data` line."""
    name: str | None = None
    data: str | None = None
    for line in lines:
        if line.startswith("event: "):
            assert name is None, f"two event lines: {line}"
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            assert data is None, f"two data lines: {line}"
            data = line.removeprefix("data: ")
        elif line == "":
            if name is None and data is None:
                continue
            assert data is not None, f"event {name!r} without data"
            event: Json = json.loads(data)
            assert event["type"] == name
            yield event
            name = data = None
        else:
            assert line.startswith(":"), f"neither event, data nor comment: {line!r}"
    assert data is None, "the stream ended inside an event"


def check_order(events: list[Json]) -> None:
    """One message from start to stop, its blocks one after the other with indexes that run through."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds[-2] == "message_delta"
    assert [kinds.count(kind) for kind in ("message_start", "message_delta", "message_stop")] == [1, 1, 1]
    open_block: int | None = None
    following = 0
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                assert event["index"] == following
                open_block, following = following, following + 1
            case "content_block_delta":
                assert event["index"] == open_block
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
            case "message_delta":
                assert open_block is None
