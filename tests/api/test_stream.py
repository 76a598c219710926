"""Streams and whole answers end with their client, their error or their server, and clean up behind them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codecove.api.attention import attend
from codecove.api.sse import EventStream
from codecove.errors import CodecoveError, InvalidRequest, UpstreamError
from tests.api.serving import make_app, serving
from tests.support.sse import read_events

Events = AsyncGenerator[dict[str, Any], None]


class Work:
    """A generator of events that waits for `go` after its first ones, and says when it began and was cleaned up."""

    def __init__(self, *first: str, error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()
        self.cleaned = asyncio.Event()
        self._first = first
        self._error = error

    async def events(self) -> Events:
        task = asyncio.current_task()
        try:
            for kind in self._first:
                yield {"type": kind}
            self.waiting.set()
            await self.go.wait()
            if self._error is not None:
                raise self._error
            yield {"type": "message_stop", "text": "done – ✓\u2028"}
        finally:
            await asyncio.sleep(0.01)  # a clean-up that has to wait for something
            assert asyncio.current_task() is task
            self.cleaned.set()


class App:
    """`GET /stream` and `GET /whole`, over the same work."""

    def __init__(self, work: Work, *, ping_seconds: float = 60) -> None:
        self.stopping = asyncio.Event()
        self._work = work
        self._ping_seconds = ping_seconds
        self.app = make_app(Route("/stream", self._stream), Route("/whole", self._whole))

    async def _stream(self, request: Request) -> Response:
        return EventStream(
            self._work.events(),
            request_id=request.state.request_id,
            stopping=self.stopping,
            ping_seconds=self._ping_seconds,
        )

    async def _whole(self, request: Request) -> Response:
        async def collect() -> list[dict[str, Any]]:
            return [event async for event in self._work.events()]

        return JSONResponse(await attend(collect(), receive=request.receive, stopping=self.stopping))


async def get(app: App, path: str) -> httpx2.Response:
    async with serving(app.app) as url, httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(url + path)


async def leave(app: App, path: str, when: Callable[[], Any]) -> None:
    """Ask, wait until `when`, and close the connection without having read the answer's end."""
    before = asyncio.all_tasks()
    async with serving(app.app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await when()
        writer.close()
        await writer.wait_closed()
        del reader
        async with asyncio.timeout(5):
            await app._work.cleaned.wait()
    assert asyncio.all_tasks() == before


async def test_events_are_named_and_carry_json() -> None:
    work = Work("message_start")
    work.go.set()
    answer = await get(App(work), "/stream")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["request-id"].startswith("req_")
    assert answer.content == (
        b'event: message_start\ndata: {"type":"message_start"}\n\n'
        + 'event: message_stop\ndata: {"type":"message_stop","text":"done – ✓\\u2028"}\n\n'.encode()
    )
    assert work.cleaned.is_set()


@pytest.mark.parametrize("path", ["/stream", "/whole"])
async def test_error_before_the_first_event_is_an_http_error(path: str) -> None:
    work = Work(error=UpstreamError("busy", status=529, error_type="overloaded_error"))
    work.go.set()
    answer = await get(App(work), path)
    assert answer.status_code == 529
    assert answer.json()["error"] == {"type": "overloaded_error", "message": "busy"}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InvalidRequest("tools.0: no"), "invalid_request_error", "tools.0: no"),
        (UpstreamError("gone", status=502, error_type="api_error"), "api_error", "gone"),
        (ZeroDivisionError("secret detail"), "api_error", "Internal server error"),
    ],
)
async def test_error_in_a_stream_is_its_last_event(error: Exception, kind: str, message: str) -> None:
    work = Work("message_start", error=error)
    work.go.set()
    answer = await get(App(work), "/stream")
    assert answer.status_code == 200
    last = list(read_events(answer.text.split("\n")))[-1]
    assert last == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": answer.headers["request-id"],
    }


async def test_stream_of_nothing_is_a_bug_and_answered_as_one() -> None:
    async def nothing(request: Request) -> Response:
        return EventStream(_empty(), request_id=request.state.request_id, stopping=asyncio.Event())

    async with serving(make_app(Route("/", nothing))) as url, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")


async def _empty() -> Events:
    none: list[dict[str, Any]] = []
    for event in none:
        yield event


async def test_error_late_in_a_whole_answer_is_an_http_error() -> None:
    work = Work("message_start", error=CodecoveError("broke off"))
    work.go.set()
    assert (await get(App(work), "/whole")).status_code == 500


@pytest.mark.parametrize(("path", "first"), [("/stream", ["message_start"]), ("/stream", []), ("/whole", ["a"])])
async def test_client_that_leaves_ends_the_work_at_once(path: str, first: list[str]) -> None:
    work = Work(*first)
    await leave(App(work), path, work.waiting.wait)


async def test_client_that_leaves_while_pings_are_sent_ends_the_work() -> None:
    work = Work("message_start")
    await leave(App(work, ping_seconds=0.001), "/stream", work.waiting.wait)


async def test_silence_is_filled_with_pings() -> None:
    work = Work("message_start")
    app = App(work, ping_seconds=0.01)
    kinds = []
    async with (
        serving(app.app) as url,
        httpx2.AsyncClient(trust_env=False) as client,
        client.stream("GET", url + "/stream") as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                kinds.append(json.loads(line.removeprefix("data: "))["type"])
                if kinds.count("ping") == 3:
                    work.go.set()
    assert kinds[:4] == ["message_start", "ping", "ping", "ping"]
    assert kinds[-1] == "message_stop"


@pytest.mark.parametrize("error", [None, UpstreamError("busy", status=529, error_type="overloaded_error")])
async def test_silence_before_the_first_event_is_filled_with_comments(error: Exception | None) -> None:
    work = Work(error=error)
    app = App(work, ping_seconds=0.01)
    lines = []
    async with (
        serving(app.app) as url,
        httpx2.AsyncClient(trust_env=False) as client,
        client.stream("GET", url + "/stream") as answer,
    ):
        async for line in answer.aiter_lines():
            lines.append(line)
            if sum(line.startswith(":") for line in lines) == 3:
                work.go.set()
    assert answer.status_code == 200
    assert [event["type"] for event in read_events(lines)] == ["error" if error else "message_stop"]


async def test_server_that_stops_tells_the_streams_client() -> None:
    work = Work("message_start")
    app = App(work)

    async def stop() -> None:
        await work.waiting.wait()
        app.stopping.set()

    answer, _ = await asyncio.gather(get(app, "/stream"), stop())
    last = list(read_events(answer.text.split("\n")))[-1]
    assert last["error"]["type"] == "overloaded_error"
    assert work.cleaned.is_set()


@pytest.mark.parametrize("path", ["/stream", "/whole"])
async def test_server_that_stops_refuses_what_has_not_begun_to_answer(path: str) -> None:
    work = Work()
    app = App(work)
    app.stopping.set()
    answer = await get(app, path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (529, "overloaded_error")
