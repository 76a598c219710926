"""A loop to test: with a model that plays a script, or over HTTP, and a session that answers as told."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from codecove.messages.fold import Folder
from codecove.messages.history import translate
from codecove.messages.loop import Loop, LoopLimits, Workshop
from codecove.messages.protocol import Block, Event, PassedHeaders, Upstream
from codecove.messages.request import parse
from codecove.messages.upstream import Choice
from codecove.tools.base import Call, Facts, Tool
from codecove.tools.results import error_block, result_block
from tests.support import script
from tests.support.rules import problems

MODEL = "scripted-1"
NEWER: Block = {"type": "code_execution_20250825", "name": "code_execution"}
OLDER: Block = {"type": "code_execution_20250522", "name": "code_execution"}
CLIENT_TOOL: Block = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}
FACTS = Facts(memory_bytes=2**30, disk_bytes=5 * 2**30, cpus=1, execution_timeout=300, python_version="3.11.2")
EXPIRES_AT = datetime(2026, 7, 30, 18, 54, tzinfo=UTC)


class ScriptedModel:
    """An upstream in memory that plays turns, and refuses what the hosted service would refuse."""

    def __init__(self, *turns: script.Turn | Sequence[Event] | Exception) -> None:
        self.turns = list(turns)
        self.requests: list[dict[str, Any]] = []
        self.closed = 0
        self._ids: Iterator[int] = count()

    async def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        assert list(problems(request)) == []
        self.requests.append(request)
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, script.Turn):
            number = next(self._ids)
            blocks = script.final_blocks(turn, (f"toolu_m{number}_{n}" for n in count()))
            turn = list(script.events(turn, blocks, message_id=f"msg_{number}", model=request["model"]))
        try:
            for event in turn:
                yield event
        finally:
            self.closed += 1

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        assert list(problems(request, counting=True)) == []
        self.requests.append(request)
        return {"input_tokens": 42}


@dataclass
class Bench:
    """A session and a lease for tests of the order of events: every call prints its own input."""

    container_id: str | None = None
    expires_at: datetime | None = EXPIRES_AT
    execution_seconds: float = 0
    execution_requests: int = 0
    calls: list[Call] = field(default_factory=list)
    remembered: list[str] = field(default_factory=list)
    before: Callable[[Call], None] = lambda _: None

    async def execute(self, tool: Tool, call: Call) -> Block:
        self.before(call)
        self.calls.append(call)
        if call.problem is not None:
            return error_block(call.name, call.id, "invalid_tool_input", call.problem)
        assert call.name in tool.call_names
        self.container_id = self.container_id or "container_01"
        self.execution_requests += 1
        self.execution_seconds += 0.5
        return result_block(call.name, call.id, output_of(call.name, str(call.input)))

    async def reserve(self) -> None:
        self.container_id = self.container_id or "container_01"

    async def remember_call(self, call_id: str) -> None:
        self.remembered.append(call_id)


def output_of(name: str, stdout: str) -> dict[str, Any]:
    return {"type": f"{name}_result", "stdout": stdout, "stderr": "", "return_code": 0, "content": []}


def make_loop(
    body: dict[str, Any],
    upstream: Upstream,
    *,
    bench: Bench | None = None,
    turns: int | None = None,
    seconds: float | None = None,
) -> AsyncGenerator[Event, None]:
    """The events of the response to `body`, which may leave out model, max_tokens and messages."""
    whole = {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": "Go"}], **body}
    request = parse(whole)
    workshop = None
    if request.declaration is not None:
        bench = bench or Bench()
        workshop = Workshop(tool=request.declaration.tool, session=bench, lease=bench)
    loop = Loop(
        request,
        request.messages,
        choice=Choice(upstream, request.model),
        workshop=workshop,
        facts=FACTS,
        limits=LoopLimits(turns=turns, seconds=seconds),
        headers=PassedHeaders(),
    )
    return loop.events(translate(request.messages, keep_foreign=False).pending)


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def folded(events: list[Event]) -> dict[str, Any]:
    folder = Folder()
    for event in events:
        folder.add(event)
    return folder.message


def check_order(events: list[Event]) -> None:
    """The grammar of a Messages stream: one message, blocks one after the other with running indexes."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_start") == kinds.count("message_stop") == kinds.count("message_delta") == 1
    opened: int | None = None
    expected = 0
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert opened is None
                assert event["index"] == expected
                opened = expected
            case "content_block_delta":
                assert event["index"] == opened
            case "content_block_stop":
                assert event["index"] == opened
                opened, expected = None, expected + 1
    assert opened is None
