"""The model's server refuses, fails or goes away: the client gets the API's error of that kind."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.e2e.conftest import body, check_error, stream_events
from tests.support.script import Failure, Refusal, Step, Turn, bash, say
from tests.support.server import Server, started
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox

# What the hosted service answers with each status.
REFUSALS = [
    (400, "invalid_request_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (529, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "error_type"), REFUSALS)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_refusal_reaches_the_client_as_it_is(
    status: int, error_type: str, stream: bool, http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Refusal(status, error_type, "no, because", {"retry-after": "7"} if status == 429 else {}))
    response = http.post("/v1/messages", json=body(stream=stream))
    assert "no, because" in check_error(response, status, error_type)
    if status == 429:
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_refused_upstream_key_is_not_the_clients_fault(
    stream: bool, http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Refusal(401, "authentication_error", "invalid x-api-key"))
    response = http.post("/v1/messages", json=body(stream=stream))
    assert "upstream" in check_error(response, response.status_code, response.json()["error"]["type"]).lower()


@pytest.mark.parametrize("reply", [b"", b"<html>Bad gateway</html>", b'{"detail": "boom"}'])
def test_an_error_in_another_form_becomes_one_of_the_api(
    reply: bytes, http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Refusal(502, body=reply))
    response = http.post("/v1/messages", json=body())
    assert response.status_code >= 500
    check_error(response, response.status_code, "api_error")


@pytest.fixture(scope="module")
def lonely() -> Iterator[Server]:
    """A server whose upstream does not exist."""
    with started({"COVE_UPSTREAM_URL": "http://127.0.0.1:9", "COVE_UPSTREAM_API_KEY": "x"}) as server:
        yield server


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_an_upstream_that_is_down_is_an_error_of_the_api(stream: bool, lonely: Server) -> None:
    response = httpx2.post(f"{lonely.url}/v1/messages", headers=lonely.headers, json=body(stream=stream), timeout=30)
    assert response.status_code >= 500
    check_error(response, response.status_code, response.json()["error"]["type"])


FAILURES = {
    "dropped-in-text": Turn([say("A long text that never ends.")], failure=Failure(5, "drop")),
    "dropped-in-call": Turn([bash("echo never run")], failure=Failure(5, "drop")),
    "ended-early": Turn([say("A long text that never ends.")], failure=Failure(5, "end")),
    "garbage": Turn([say("A long text that never ends.")], failure=Failure(5, "garbage")),
    "error-event": Turn([say("A long text that never ends.")], failure=Failure(5, "error")),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("earlier", [[], [Turn([bash("echo kept > /tmp/kept")])]], ids=["first-turn", "later-turn"])
def test_a_stream_that_breaks_ends_with_an_error_event(
    failure: Turn, earlier: list[Step], http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(*earlier, failure)
    events = stream_events(http, body())
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "error"
    assert events[-1]["error"].keys() == {"type", "message"}
    assert not any(event["type"] in {"message_delta", "message_stop"} for event in events)
    if failure is FAILURES["error-event"]:
        assert events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_a_broken_answer_is_an_error_status_without_streaming(
    failure: Turn, http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Turn([bash("true")]), failure)
    response = http.post("/v1/messages", json=body())
    check_error(response, 529 if failure is FAILURES["error-event"] else response.status_code, _kind(response))
    assert response.status_code >= 500


def _kind(response: httpx2.Response) -> str:
    kind: str = response.json()["error"]["type"]
    assert kind in {"api_error", "overloaded_error", "timeout_error"}
    return kind


def test_the_container_is_given_back_when_the_model_fails(http: httpx2.Client, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo kept > /tmp/kept")]), Turn([say("Done.")]))
    container = http.post("/v1/messages", json=body()).json()["container"]["id"]
    upstream.script(Turn([bash("echo more >> /tmp/kept")]), FAILURES["dropped-in-text"])
    assert stream_events(http, body(container=container))[-1]["type"] == "error"
    upstream.script(Turn([bash("cat /tmp/kept")]), Turn([say("Done.")]))
    answer = http.post("/v1/messages", json=body(container=container)).json()
    assert answer["content"][1]["content"]["stdout"] == "kept\nmore\n"


def test_an_upstream_that_falls_silent_is_a_timeout(upstream: ScriptedUpstream) -> None:
    with (
        started(
            {"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": "upstream-key", "COVE_UPSTREAM_TIMEOUT": "1"}
        ) as server,
        httpx2.Client(base_url=server.url, headers=server.headers, timeout=30) as http,
    ):
        upstream.script(Turn([say("Slow.")], delay=3))
        response = http.post("/v1/messages", json=body())
        check_error(response, 504, "timeout_error")
        upstream.script(Turn([say("A slow text.")], failure=Failure(4, "stall", seconds=3)))
        assert stream_events(http, body())[-1]["error"]["type"] == "timeout_error"
