"""An upstream over HTTP: what is sent, what is made of proper, sloppy and failing servers."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from codecove.errors import UpstreamError
from codecove.messages.protocol import Event, PassedHeaders
from codecove.messages.upstream import Upstreams
from codecove.settings import Route, Settings
from tests.messages.raw_server import serving, sse
from tests.messages.support import NEWER, Bench, check_order, collect, folded, make_loop
from tests.support.script import Failure, Refusal, Turn, bash, call, say
from tests.support.upstream import KEY, ScriptedUpstream

START: Event = {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "model": "m", "content": []}}
END: list[Event] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Go"}]}


def settings_for(url: str, **more: Any) -> Settings:
    return Settings(upstream_url=url, upstream_api_key=SecretStr(KEY), **more)


async def ask(url: str, *, passed: PassedHeaders | None = None, **more: Any) -> list[Event]:
    async with Upstreams(settings_for(url, **more)) as upstreams:
        return await collect(upstreams.choose("m").upstream.stream(REQUEST, passed or PassedHeaders()))


async def failure_of(url: str, **more: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(url, **more)
    return caught.value


async def respond(url: str, body: dict[str, Any] | None = None) -> list[Event]:
    """A whole response, through the loop."""
    async with Upstreams(settings_for(url)) as upstreams:
        return await collect(make_loop(body or {"tools": [NEWER]}, upstreams.choose("m").upstream))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class TestRequest:
    async def test_it_asks_for_a_stream_with_its_own_key_and_the_clients_betas_without_ours(self) -> None:
        passed = PassedHeaders(betas=("code-execution-2025-08-25", "interleaved-thinking-2025-05-14", "files-api-x"))
        async with serving(sse(START, *END)) as server:
            await ask(server.url, passed=passed)
        headers, body = server.requests[0]
        assert body == {**REQUEST, "stream": True}
        assert headers["x-api-key"] == KEY
        assert headers["anthropic-version"] == "2023-06-01"
        assert headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
        assert headers["accept-encoding"] == "identity"

    async def test_without_betas_there_is_no_header_of_them(self) -> None:
        async with serving(sse(START, *END)) as server:
            await ask(server.url)
        assert "anthropic-beta" not in server.requests[0][0]

    async def test_a_base_url_may_end_with_the_version(self) -> None:
        async with serving(sse(START, *END)) as server:
            await ask(server.url + "/v1/")
        assert len(server.requests) == 1

    async def test_the_turns_of_a_response_share_a_connection(self) -> None:
        async with serving(sse(START, *END)) as server, Upstreams(settings_for(server.url)) as upstreams:
            for _ in range(3):
                await collect(upstreams.choose("m").upstream.stream(REQUEST, PassedHeaders()))
        assert server.connections == 1

    async def test_proxy_variables_are_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        async with serving(sse(START, *END)) as server:
            await ask(server.url)
        assert len(server.requests) == 1

    async def test_half_a_surrogate_pair_is_sent_as_it_came(self) -> None:
        async with serving(sse(START, *END)) as server, Upstreams(settings_for(server.url)) as upstreams:
            request = {**REQUEST, "system": "\ud800"}
            await collect(upstreams.choose("m").upstream.stream(request, PassedHeaders()))
        assert server.requests[0][1]["system"] == "\ud800"


class TestRoutes:
    async def test_the_first_route_that_fits_answers_under_its_name(self) -> None:
        async with serving(sse(START, *END)) as routed:
            routes = [Route(model="local-*", upstream_url=routed.url, upstream_model="qwen")]
            async with Upstreams(Settings(routes=routes)) as upstreams:
                choice = upstreams.choose("local-big")
                assert choice.model == "qwen"
                await collect(choice.upstream.stream(REQUEST, PassedHeaders()))
                assert upstreams.choose("other").model == "other"
        assert len(routed.requests) == 1

    @pytest.mark.parametrize(
        ("model", "known"), [("claude-sonnet-4-5", True), ("anthropic/claude-x", True), ("qwen", False)]
    )
    async def test_a_claude_is_known_by_its_name(self, model: str, known: bool) -> None:
        async with Upstreams(Settings()) as upstreams:
            assert upstreams.choose(model).is_claude == known


class TestFailures:
    async def test_an_upstream_that_is_down_is_overloaded(self, free_port: int) -> None:
        error = await failure_of(f"http://127.0.0.1:{free_port}")
        assert (error.status, error.error_type) == (529, "overloaded_error")
        assert "can't be reached" in error.message

    async def test_an_upstream_that_says_nothing_is_a_timeout(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([say("late")], delay=1))
        error = await failure_of(upstream.url, upstream_timeout=0.1)
        assert (error.status, error.error_type) == (504, "timeout_error")

    async def test_an_upstream_that_stalls_is_a_timeout(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([say("Hello there")], failure=Failure(after=4, kind="stall", seconds=1)))
        error = await failure_of(upstream.url, upstream_timeout=0.2)
        assert error.error_type == "timeout_error"

    @pytest.mark.parametrize(
        ("status", "kind", "expected"),
        [
            (400, "invalid_request_error", 400),
            (401, "authentication_error", 401),
            (403, "permission_error", 403),
            (404, "not_found_error", 404),
            (413, "request_too_large", 413),
            (429, "rate_limit_error", 429),
            (500, "api_error", 500),
            (529, "overloaded_error", 529),
        ],
    )
    async def test_a_refusal_keeps_its_kind(
        self, upstream: ScriptedUpstream, status: int, kind: str, expected: int
    ) -> None:
        upstream.script(Refusal(status, kind, "the reason", headers={"retry-after": "7"}))
        error = await failure_of(upstream.url)
        assert (error.status, error.error_type) == (expected, kind)
        assert "the reason" in error.message
        assert error.retry_after == 7

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_key_that_is_refused_is_said_to_be_this_servers(
        self, upstream: ScriptedUpstream, status: int
    ) -> None:
        upstream.script(Refusal(status, "authentication_error", "invalid x-api-key"))
        assert "this server's own key, not yours" in (await failure_of(upstream.url)).message

    @pytest.mark.parametrize(
        ("head", "body", "status", "message"),
        [
            (
                "503 Service Unavailable",
                '{"error": {"message": "Loading model", "type": "unavailable_error"}}',
                529,
                "Loading model",
            ),
            ("502 Bad Gateway", "<html>bad</html>", 500, "bad"),
            ("422 Unprocessable", '{"detail": [{"msg": "x"}]}', 400, "msg"),
            ("404 Not Found", '{"error": "model not found"}', 404, "model not found"),
            ("500 Oops", "", 500, "status 500"),
            ("302 Found", "", 500, "status 302"),
            ("504 Gateway Timeout", "slow", 504, "slow"),
        ],
    )
    async def test_errors_of_other_shapes(self, head: str, body: str, status: int, message: str) -> None:
        async with serving(body, head=head, kind="application/json") as server:
            error = await failure_of(server.url)
        assert error.status == status
        assert message in error.message

    @pytest.mark.parametrize("kind", ["drop", "end", "garbage"])
    async def test_a_stream_that_breaks_off_is_an_error(self, upstream: ScriptedUpstream, kind: Any) -> None:
        upstream.script(Turn([say("Hello there")], failure=Failure(after=4, kind=kind)))
        error = await failure_of(upstream.url)
        assert (error.status, error.error_type) == (500, "api_error")

    async def test_an_error_event_keeps_its_kind(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([say("Hello there")], failure=Failure(after=4, kind="error")))
        error = await failure_of(upstream.url)
        assert (error.status, error.error_type, error.message) == (529, "overloaded_error", "Overloaded")

    @pytest.mark.parametrize(
        ("body", "kind"),
        [("<html>", "text/html"), ("{", "application/json"), ("[]", "application/json"), ("", "text/event-stream")],
    )
    async def test_something_else_than_a_message_is_an_error(self, body: str, kind: str) -> None:
        async with serving(body, kind=kind) as server:
            assert (await failure_of(server.url)).error_type == "api_error"

    async def test_between_turns_a_dropped_connection_is_no_end(self, upstream: ScriptedUpstream) -> None:
        upstream.script(
            Turn([bash("ls")]),
            Turn([say("never")], failure=Failure(after=1, kind="drop")),
            Refusal(503, headers={"retry-after": "0.01"}),
            Turn([say("Done.")]),
        )
        message = folded(await respond(upstream.url))
        assert message["content"][-1]["text"] == "Done."

    async def test_once_a_turn_has_spoken_a_drop_is_an_error(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([bash("ls")]), Turn([say("Hello there")], failure=Failure(after=5, kind="drop")))
        with pytest.raises(UpstreamError):
            await respond(upstream.url)


class TestSloppyServers:
    async def test_json_in_place_of_a_stream(self) -> None:
        message = {
            "type": "message",
            "id": "x",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "c", "name": "w", "input": {"a": 1}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 4},
        }
        async with serving(json.dumps(message), kind="application/json") as server:
            events = await respond(server.url, {"tools": [{"name": "w", "input_schema": {"type": "object"}}]})
        check_order(events)
        assert folded(events) == {**message, "stop_sequence": None}

    async def test_lines_that_are_no_events_are_left_out(self) -> None:
        body = ": comment\n\ndata: [DONE]\n\ndata: 7\n\n" + sse(START) + "data: {}\n\n" + sse(*END) + "data: [DONE]\n\n"
        async with serving(body) as server:
            assert [e["type"] for e in await ask(server.url)][-2:] == ["message_delta", "message_stop"]

    async def test_events_without_empty_lines_between_them(self) -> None:
        body = "\n".join(line for line in sse(START, *END).split("\n") if line.startswith("data:")) + "\n\n"
        async with serving(body) as server:
            assert [e["type"] for e in await ask(server.url)] == ["message_start", "message_delta", "message_stop"]

    async def test_missing_fields_are_filled_in(self) -> None:
        block = {"type": "content_block_start", "content_block": {"type": "text", "text": "Hi"}}
        async with serving(sse({"type": "message_start"}, block, {"type": "message_stop"})) as server:
            events = await respond(server.url)
        check_order(events)
        message = folded(events)
        assert message["id"].startswith("msg_01")
        assert message["usage"]["input_tokens"] == 0
        assert message["stop_reason"] == "end_turn"
        assert message["content"] == [{"type": "text", "text": "Hi"}]

    async def test_repeated_indexes_and_missing_stops(self) -> None:
        def block(text: str) -> list[Event]:
            return [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
            ]

        async with serving(sse(START, *block("a"), *block("b"), *END)) as server:
            events = await respond(server.url)
        check_order(events)
        assert [b["text"] for b in folded(events)["content"]] == ["a", "b"]

    async def test_text_without_a_block_gets_one(self) -> None:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
        stray = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{"}}
        async with serving(sse(START, stray, delta, *END)) as server:
            events = await respond(server.url)
        check_order(events)
        assert folded(events)["content"] == [{"type": "text", "text": "Hi"}]

    @pytest.mark.parametrize("given", [{"command": "ls"}, '{"command": "ls"}'])
    @pytest.mark.parametrize("stop_reason", ["end_turn", None, "tool_calls"])
    async def test_an_input_whole_in_its_start_and_a_wrong_stop_reason(
        self, upstream: ScriptedUpstream, given: Any, stop_reason: str | None
    ) -> None:
        use = {"type": "tool_use", "id": "call_0", "name": "bash_code_execution", "input": given}
        delta = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
        turn = sse(START, {"type": "content_block_start", "index": 0, "content_block": use}, delta, END[1])
        async with serving(turn) as server, Upstreams(settings_for(server.url)) as upstreams:
            loop = make_loop({"tools": [NEWER]}, upstreams.choose("m").upstream, turns=2)
            message = folded(await collect(loop))
        assert [b["type"] for b in message["content"]] == ["server_tool_use", "bash_code_execution_tool_result"] * 2
        assert message["content"][0]["input"] == {"command": "ls"}
        assert message["content"][0]["id"] != message["content"][2]["id"]

    async def test_tool_use_as_stop_reason_without_a_call_is_the_end(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([say("Hi")], stop_reason="tool_use"))
        assert folded(await respond(upstream.url))["stop_reason"] == "end_turn"

    async def test_a_call_without_input_has_an_empty_one(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Turn([call("bash_code_execution", "")]), Turn([say("Hi")]))
        assert folded(await respond(upstream.url))["content"][0]["input"] == {}

    async def test_unknown_events_and_fields_are_passed_on(self) -> None:
        odd = {"type": "content_block_start", "index": 0, "content_block": {"type": "hologram", "data": 1}, "extra": 2}
        more = {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta", "data": 3}}
        future = {"type": "future_event", "index": 0, "x": 1}
        async with serving(sse(START, odd, more, future, {"type": "content_block_stop", "index": 0}, *END)) as server:
            events = await respond(server.url)
        assert events[1:5] == [odd, more, future, {"type": "content_block_stop", "index": 0}]

    @pytest.mark.parametrize("as_json", [False, True])
    async def test_half_a_surrogate_pair_is_replaced_where_it_comes_in(self, as_json: bool) -> None:
        block = {"type": "tool_use", "id": "t", "name": "bash_code_execution", "input": {"command": "MARK"}}
        if as_json:
            body, kind = json.dumps({"content": [block], "stop_reason": "max_tokens"}), "application/json"
        else:
            ending = {**END[0], "delta": {"stop_reason": "max_tokens"}}
            start = {"type": "content_block_start", "index": 0, "content_block": block}
            body, kind = sse(START, start, ending, END[1]), "text/event-stream"
        body = body.replace("MARK", "\\ud83d\\ude00 \\ud83d \\\\ud83d")
        async with serving(body, kind=kind) as server:
            bench = Bench()
            async with Upstreams(settings_for(server.url)) as upstreams:
                loop = make_loop({"tools": [NEWER]}, upstreams.choose("m").upstream, bench=bench)
                json.dumps(await collect(loop), ensure_ascii=False).encode()
        assert [call.input for call in bench.calls] == [{"command": "\U0001f600 \ufffd \\ud83d"}]

    async def test_json_that_nobody_else_could_read_is_put_right_or_left_out(self) -> None:
        odd = 'data: {"type":"odd","score":NaN}\n\n' + "data: " + "[" * 100_000 + "\n\n"
        async with serving(sse(START) + odd + sse(*END)) as server:
            assert [event for event in await ask(server.url) if event["type"] == "odd"] == [
                {"type": "odd", "score": None}
            ]

    async def test_a_server_that_keeps_the_stream_open_does_not_hold_the_response(self) -> None:
        async with serving(sse(START, *END), keep_open=True) as server:
            assert len(await ask(server.url)) == 3


class TestCancellation:
    async def test_closing_the_response_closes_the_upstreams_stream(self) -> None:
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}}
        async with (
            serving(sse(START, block), keep_open=True) as server,
            Upstreams(settings_for(server.url)) as upstreams,
        ):
            async with aclosing(make_loop({"tools": [NEWER]}, upstreams.choose("m").upstream)) as events:
                await anext(events)
                await anext(events)
            await asyncio.wait_for(server.hung_up.wait(), 5)

    async def test_cancelling_who_waits_for_the_upstream_closes_its_stream(self) -> None:
        async with serving(sse(START), keep_open=True) as server, Upstreams(settings_for(server.url)) as upstreams:
            waiting = asyncio.create_task(collect(make_loop({}, upstreams.choose("m").upstream)))
            await asyncio.wait_for(server.asked.wait(), 5)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.wait_for(server.hung_up.wait(), 5)


class TestCountTokens:
    async def test_the_upstream_counts(self, upstream: ScriptedUpstream) -> None:
        async with Upstreams(settings_for(upstream.url)) as upstreams:
            request = {key: value for key, value in REQUEST.items() if key != "max_tokens"}
            answer = await upstreams.choose("m").upstream.count_tokens(request, PassedHeaders())
        assert answer["input_tokens"] > 0
        assert upstream.requests[0].path == "/v1/messages/count_tokens"

    @pytest.mark.parametrize(
        ("head", "body"),
        [("404 Not Found", '{"error": {"message": "model: m"}}'), ("200 OK", "nothing"), ("200 OK", "[]")],
    )
    async def test_one_that_can_not_count_is_an_error(self, head: str, body: str) -> None:
        async with (
            serving(body, head=head, kind="application/json") as server,
            Upstreams(settings_for(server.url)) as upstreams,
        ):
            with pytest.raises(UpstreamError):
                await upstreams.choose("m").upstream.count_tokens(REQUEST, PassedHeaders())

    @pytest.mark.parametrize("head", ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented"])
    async def test_without_the_endpoint_there_is_an_estimate(self, head: str) -> None:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 10**6}}
        for content, expected in (("x" * 4000, 1000), ([image], 1600)):
            request = {"model": "m", "messages": [{"role": "user", "content": content}]}
            async with (
                serving("404 page not found", head=head, kind="text/plain") as server,
                Upstreams(settings_for(server.url)) as upstreams,
            ):
                answer = await upstreams.choose("m").upstream.count_tokens(request, PassedHeaders())
            assert expected < answer["input_tokens"] < expected + 100


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0.01)  # the HTTP client's generators are closed by the event loop
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
