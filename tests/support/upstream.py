"""A strict Messages server with a scripted model, over real HTTP on the loopback interface."""

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.rules import problems
from tests.support.script import Failure, Json, Refusal, Step, Turn, events, final_blocks, message

KEY = "upstream-key"
MODEL = "scripted-1"


class ConnectionDropped(Exception):
    """Raised on purpose: the HTTP server then breaks the connection off."""


@dataclass(frozen=True)
class RecordedRequest:
    path: str
    headers: dict[str, str]
    body: Json

    @property
    def messages(self) -> list[Json]:
        messages: list[Json] = self.body["messages"]
        return messages

    @property
    def tool_names(self) -> set[str]:
        return {tool["name"] for tool in self.body.get("tools", [])}


class ScriptedUpstream:
    """Plays the turns of a script, one for each request, and refuses what the hosted service would refuse.

    Every refusal is kept in `violations`: the `upstream` fixture fails the test that caused one. With `answer` there is
    no script: it is asked for the step of each request.
    """

    def __init__(self, answer: Callable[[Json], Step] | None = None) -> None:
        self.url = ""
        self._answer_to = answer
        self.requests: list[RecordedRequest] = []
        self.violations: list[str] = []
        self.abandoned = 0
        """Streams whose reader went away before the end."""
        self._steps: deque[Step] = deque()
        self._thoughts: dict[str, str] = {}
        self._count = 0

    def script(self, *steps: Step) -> None:
        """What the model does next, after what is still left of earlier scripts."""
        self._steps.extend(steps)

    @property
    def unplayed(self) -> int:
        return len(self._steps)

    def reset(self) -> None:
        self.requests.clear()
        self.violations.clear()
        self.abandoned = 0
        self._steps.clear()
        self._thoughts.clear()

    def check_prefixes(self) -> None:
        """Each request of a conversation begins with the messages of the one before, or a prompt cache misses."""
        for earlier, later in zip(self.requests, self.requests[1:], strict=False):
            shared = later.messages[: len(earlier.messages)]
            assert shared == earlier.messages
            # A model reads its calls as JSON text, in which the order of keys counts.
            assert _inputs(shared) == _inputs(earlier.messages)
            assert later.body.get("tools") == earlier.body.get("tools")
            assert later.body.get("system") == earlier.body.get("system")

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/v1/models/{model}", self._model),
            ]
        )

    async def _messages(self, request: Request) -> Response:
        body, refusal = await self._receive(request, counting=False)
        if refusal is not None:
            return refusal
        if self._answer_to is not None:
            step = self._answer_to(body)
        elif self._steps:
            step = self._steps.popleft()
        else:
            self.violations.append("a request came after the script's end")
            return _error(500, "api_error", "the script has ended")
        if step.delay:
            await asyncio.sleep(step.delay)
        if isinstance(step, Refusal):
            return _refuse(step)
        return self._answer(step, body)

    def _answer(self, turn: Turn, body: Json) -> Response:
        self._count += 1
        message_id = f"msg_scripted{self._count:06}"
        blocks = final_blocks(turn, self._call_ids())
        for block in blocks:
            if block["type"] == "thinking":
                self._thoughts[block["signature"]] = block["thinking"]
        if not body.get("stream"):
            return JSONResponse(message(turn, blocks, message_id=message_id, model=body["model"]))
        stream = events(turn, blocks, message_id=message_id, model=body["model"])
        return StreamingResponse(self._play(stream, turn.failure), media_type="text/event-stream")

    def _call_ids(self) -> Iterator[str]:
        for position in range(100):
            yield f"toolu_model{self._count:06}{position:02}"

    async def _play(self, stream: Iterator[Json], failure: Failure | None) -> AsyncIterator[bytes]:
        finished = False
        try:
            for sent, event in enumerate(stream):
                if failure is not None and sent == failure.after:
                    if failure.kind == "drop":
                        # The bytes before must be on the wire when the connection breaks.
                        await asyncio.sleep(0.05)
                        finished = True
                        raise ConnectionDropped
                    if failure.kind == "stall":
                        await asyncio.sleep(failure.seconds)
                    if last := _last_words(failure):
                        finished = True
                        yield last
                        return
                    if failure.kind == "end":
                        finished = True
                        return
                yield _sse(event)
            finished = True
        finally:
            self.abandoned += not finished

    async def _count_tokens(self, request: Request) -> Response:
        body, refusal = await self._receive(request, counting=True)
        return refusal or JSONResponse({"input_tokens": len(json.dumps(body)) // 4})

    async def _models(self, _: Request) -> Response:
        return JSONResponse(
            {"data": [_model(MODEL)], "has_more": False, "first_id": MODEL, "last_id": MODEL},
        )

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name != MODEL:
            return _error(404, "not_found_error", f"model: {name}")
        return JSONResponse(_model(name))

    async def _receive(self, request: Request, *, counting: bool) -> tuple[Json, Response | None]:
        """The request's body, and the refusal it gets if the hosted service would refuse it."""
        if KEY not in {
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        }:
            self.violations.append("the upstream got another key than its own")
            return {}, _error(401, "authentication_error", "invalid x-api-key")
        try:
            body = json.loads(await request.body())
        except ValueError:
            self.violations.append("the body is not JSON")
            return {}, _error(400, "invalid_request_error", "The request body is not valid JSON")
        self.requests.append(RecordedRequest(request.url.path, dict(request.headers), body))
        found = list(problems(body, counting=counting))
        if "anthropic-version" not in request.headers:
            found.insert(0, "anthropic-version: header is required")
        found += self._changed_thoughts(body) if not found else []
        self.violations += found
        return body, _error(400, "invalid_request_error", found[0]) if found else None

    def _changed_thoughts(self, body: Json) -> list[str]:
        """A thinking block comes back exactly as it was given, or its signature no longer fits."""
        blocks = [block for item in body["messages"] if isinstance(item["content"], list) for block in item["content"]]
        return [
            "messages: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."
            for block in blocks
            if block["type"] == "thinking"
            and self._thoughts.get(block["signature"], block["thinking"]) != block["thinking"]
        ]


def _inputs(messages: list[Json]) -> list[str]:
    blocks = [block for item in messages if isinstance(item["content"], list) for block in item["content"]]
    return [json.dumps(block["input"]) for block in blocks if block["type"] == "tool_use"]


def _last_words(failure: Failure) -> bytes:
    if failure.kind == "error":
        return _sse({"type": "error", "error": failure.error})
    return b"event: nonsense\ndata: {not json\n\n" if failure.kind == "garbage" else b""


def _sse(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _model(name: str) -> Json:
    return {"type": "model", "id": name, "display_name": "Scripted", "created_at": "2026-01-01T00:00:00Z"}


def _refuse(step: Refusal) -> Response:
    if step.body is not None:
        return Response(step.body, step.status, headers=dict(step.headers))
    return _error(step.status, step.error_type, step.message, step.headers)


def _error(status: int, error_type: str, text: str, headers: Any = None) -> Response:
    return JSONResponse(
        {"type": "error", "error": {"type": error_type, "message": text}, "request_id": "req_upstream"},
        status,
        headers=dict(headers or {}),
    )


@contextlib.contextmanager
def running(upstream: ScriptedUpstream, *, port: int = 0) -> Iterator[ScriptedUpstream]:
    """Serve the upstream from a thread until the block ends. Port 0: a free one."""
    config = uvicorn.Config(
        upstream.app(),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="upstream", daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the scripted upstream did not start"
            thread.join(0.01)
        upstream.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield upstream
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "the scripted upstream did not stop"
