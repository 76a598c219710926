"""The loop behind one response: model turn, executions, model turn, until there is an answer.

One async generator of wire events. Between turns the upstream's history is made anew from the client's messages and
the content sent so far: it is the same that a later request will bring, byte for byte.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from codecove import clock, ids
from codecove.messages import usage
from codecove.messages.fold import Folder
from codecove.messages.history import translate
from codecove.messages.pairs import has_our_blocks
from codecove.messages.protocol import Block, Event, Message, PassedHeaders
from codecove.messages.request import MessagesRequest
from codecove.messages.retry import persistent
from codecove.messages.turn import Turn, offered
from codecove.messages.turn_request import first_choice, has_room, later_choice, offered_tools, turn_body
from codecove.messages.upstream import Choice
from codecove.tools.base import Call, Facts, Tool
from codecove.tools.versions import VERSIONS


class Session(Protocol):
    """Runs the calls of one request, as `tools.session.ToolSession` does."""

    execution_seconds: float
    execution_requests: int

    async def execute(self, tool: Tool, call: Call) -> Block: ...

    async def reserve(self) -> None: ...


class Lease(Protocol):
    """The request's hold on its container, as `containers.lease.Lease` has it."""

    @property
    def container_id(self) -> str | None: ...

    @property
    def expires_at(self) -> datetime | None: ...

    async def remember_call(self, call_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a request that declares our tool runs its calls with."""

    tool: Tool
    session: Session
    lease: Lease


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """When a response ends with `pause_turn`. None: never."""

    turns: int | None
    seconds: float | None
    """After this no new turn begins."""


class Loop:
    """One response. Without a `workshop` the upstream's one turn is the response."""

    def __init__(
        self,
        request: MessagesRequest,
        messages: list[Message],
        *,
        choice: Choice,
        workshop: Workshop | None,
        facts: Facts,
        limits: LoopLimits,
        headers: PassedHeaders,
    ) -> None:
        self._request = request
        self._messages = messages
        self._choice = choice
        self._workshop = workshop
        self._limits = limits
        self._headers = headers
        self._tools = offered_tools(request, facts)
        self._offered = offered(request.rest.get("tools"), request.declaration)
        self._folder = Folder()
        self._usage: dict[str, Any] = {}
        self._start_usage: dict[str, Any] = {}
        self._next_index = 0
        self._turns = 0

    async def events(self, pending: Sequence[Block] = ()) -> AsyncGenerator[Event, None]:
        """The response. `pending`: calls at the end of the conversation, to be run before the model goes on.

        Raises `UpstreamError`. Closing or cancelling it ends the upstream's stream and kills what runs.
        """
        deadline = None if self._limits.seconds is None else clock.monotonic() + self._limits.seconds
        async with aclosing(self._all(pending, deadline)) as events:
            async for event in events:
                self._folder.add(event)
                yield event

    async def _all(self, pending: Sequence[Block], deadline: float | None) -> AsyncGenerator[Event, None]:
        if pending:
            yield self._message_start({})
            calls = [Call(id=block["id"], name=block["name"], input=block["input"]) for block in pending]
            async with aclosing(self._execute(calls)) as events:
                async for event in events:
                    yield event
        while True:
            turn = Turn(self._offered, first_index=self._next_index)
            async with aclosing(self._model_turn(turn)) as events:
                async for event in events:
                    yield event
            self._turns += 1
            self._next_index = turn.next_index
            self._usage = usage.add(self._usage, turn.usage)
            reason = turn.stop_reason
            if turn.has_calls:
                calls = turn.calls()
                deferred = turn.has_client_calls and reason == "tool_use"
                if deferred:
                    calls = await self._defer(calls)
                async with aclosing(self._execute(calls)) as events:
                    async for event in events:
                        yield event
                reason = reason if deferred else self._reason_to_stop(reason, deadline)
            if not turn.has_calls or reason is not None:
                break
        yield self._message_delta(turn, reason)
        yield {"type": "message_stop"}

    async def _model_turn(self, turn: Turn) -> AsyncGenerator[Event, None]:
        body = self._turn_body()

        def begin() -> AsyncGenerator[Event, None]:
            return self._choice.upstream.stream(body, self._headers)

        # The client repeats a request that fails before it has begun; in the middle only we can.
        started = bool(self._folder.message)
        async with aclosing(persistent(begin) if started else begin()) as events:
            async for event in events:
                for own in turn.feed(event):
                    if not started:
                        if own.get("type") == "ping":
                            continue
                        yield self._message_start(turn.message)
                        started = True
                    yield own
        if not started:
            yield self._message_start(turn.message)

    def _turn_body(self) -> dict[str, Any]:
        messages = self._messages
        if self._folder.message.get("content"):
            messages = [*messages, {"role": "assistant", "content": self._folder.content}]
        if self._workshop is not None or has_our_blocks(messages):
            messages = translate(messages, keep_foreign=self._choice.is_claude).messages
        choice = first_choice(self._request)
        return turn_body(
            self._request,
            messages,
            model=self._choice.model,
            tools=self._tools,
            choice=later_choice(choice) if self._turns else choice,
            tokens_left=self._tokens_left(),
        )

    def _tokens_left(self) -> int | None:
        limit = self._request.rest.get("max_tokens")
        if not isinstance(limit, int) or isinstance(limit, bool) or self._turns == 0:
            return None
        return limit - usage.output_tokens(self._usage)

    def _reason_to_stop(self, reason: str | None, deadline: float | None) -> str | None:
        """Why the response ends here, after the executions of a turn; None: the next turn begins."""
        if reason != "tool_use":
            return reason
        if not has_room(self._request, self._tokens_left()):
            return "max_tokens"
        if self._limits.turns is not None and self._turns >= self._limits.turns:
            return "pause_turn"
        if deadline is not None and clock.monotonic() >= deadline:
            return "pause_turn"
        return None

    async def _execute(self, calls: Sequence[Call]) -> AsyncGenerator[Event, None]:
        """Run calls one after the other; each result is one block."""
        assert self._workshop is not None  # noqa: S101 -- a request without our tool has no calls of ours
        for call in calls:
            tool = tool_for(self._workshop.tool, call)
            block = await self._workshop.session.execute(tool, call)
            yield {"type": "content_block_start", "index": self._next_index, "content_block": block}
            yield {"type": "content_block_stop", "index": self._next_index}
            self._next_index += 1

    async def _defer(self, calls: Sequence[Call]) -> list[Call]:
        """Leave calls to the request that brings the results of the client's own tools.

        The value is those that can't wait: a later request would take what is left of their input for the whole.
        """
        assert self._workshop is not None  # noqa: S101
        waiting = [call for call in calls if call.problem is None]
        if waiting:
            # Clients read the container's id from any response that has a call for it.
            await self._workshop.session.reserve()
        for call in waiting:
            await self._workshop.lease.remember_call(call.id)
        return [call for call in calls if call.problem is not None]

    def _message_start(self, message: dict[str, Any]) -> Event:
        own: dict[str, Any] = {
            "id": message.get("id"),
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": message.get("model"),
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage.of_start(message.get("usage")),
        }
        if self._workshop is not None or not isinstance(own["id"], str):
            own["id"] = ids.new("msg")
        if self._choice.model != self._request.model or not isinstance(own["model"], str):
            own["model"] = self._request.model
        self._start_usage = own["usage"]
        started = {**message, **own}
        if (container := self._container()) is not None:
            started["container"] = container
        return {"type": "message_start", "message": started}

    def _message_delta(self, turn: Turn, reason: str | None) -> Event:
        delta = {"stop_sequence": None, **turn.delta.get("delta", {}), "stop_reason": reason}
        if reason != "stop_sequence":
            delta["stop_sequence"] = None
        if (container := self._container()) is not None:
            delta["container"] = container
        total = self._usage
        last = turn.delta.get("usage") or {}
        if self._workshop is not None:
            session = self._workshop.session
            total = usage.with_executions(total, requests=session.execution_requests, seconds=session.execution_seconds)
        counts = usage.of_delta(total, started=self._start_usage, last=last)
        return {**turn.delta, "type": "message_delta", "delta": delta, "usage": counts}

    def _container(self) -> dict[str, str] | None:
        if self._workshop is None:
            return None
        lease = self._workshop.lease
        if lease.container_id is None or lease.expires_at is None:
            return None
        return {"id": lease.container_id, "expires_at": clock.isoformat(lease.expires_at)}


def tool_for(declared: Tool, call: Call) -> Tool:
    """The version that runs a call. One that waits in a history may be of another version than the request's tool."""
    if call.problem is not None or call.name in declared.call_names:
        return declared
    return next((tool for tool in VERSIONS.values() if call.name in tool.call_names), declared)
