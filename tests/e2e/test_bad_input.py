"""What is wrong with a request is said with the field's name, before a model is asked or a container made."""

from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import NEWER, OLDER, body, check_error, stream_events
from tests.support.script import Json, Turn, bash, call, edit, say
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox

USER: Json = {"role": "user", "content": "Hi"}
SERVER_CALL: Json = {"type": "server_tool_use", "id": "srvtoolu_01a", "name": "bash_code_execution", "input": {}}
RESULT: Json = {
    "type": "bash_code_execution_tool_result",
    "tool_use_id": "srvtoolu_01a",
    "content": {
        "type": "bash_code_execution_result",
        "stdout": "",
        "stderr": "",
        "return_code": 0,
        "content": [],
    },
}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"type": "code_execution_20240101", "name": "code_execution"}]}, ["code_execution_20250825"]),
        ({"tools": [{"type": "code_execution_20250825", "name": "code"}]}, ["tools.0.name", "code_execution"]),
        ({"tools": [{"type": "code_execution_20250825"}]}, ["tools.0.name"]),
        ({"tools": [NEWER, NEWER]}, ["tools"]),
        ({"tools": [OLDER, NEWER]}, ["tools"]),
        ({"tools": "code_execution"}, ["tools"]),
        ({"tools": [NEWER, "code_execution"]}, ["tools.1"]),
        ({"container": 7}, ["container"]),
        ({"container": {"id": 7}}, ["container"]),
        ({"stream": "yes"}, ["stream"]),
        ({"max_execution_duration": "long"}, ["max_execution_duration"]),
        ({"max_execution_duration": -1}, ["max_execution_duration"]),
        ({"messages": "Hi"}, ["messages"]),
        ({"messages": ["Hi"]}, ["messages.0"]),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, ["messages.0.content.0"]),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": 3}]}]},
            ["messages.0.content.0"],
        ),
    ],
)
def test_a_wrong_field_is_named(
    fields: dict[str, Any], words: list[str], http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    message = check_error(http.post("/v1/messages", json=body(**fields)), 400, "invalid_request_error")
    assert [word for word in words if word not in message] == [], message
    assert upstream.requests == []


@pytest.mark.parametrize(
    "messages",
    [
        [USER, {"role": "assistant", "content": [RESULT]}, USER],
        [USER, {"role": "assistant", "content": [SERVER_CALL, RESULT, RESULT]}, USER],
        [USER, {"role": "assistant", "content": [SERVER_CALL | {"id": 3}, RESULT]}, USER],
        [USER, {"role": "assistant", "content": [SERVER_CALL, RESULT | {"content": 3}]}, USER],
    ],
    ids=["result-without-call", "two-results", "id-no-text", "content-no-object"],
)
def test_a_history_that_cannot_be_understood_is_refused(
    messages: list[Json], http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    message = check_error(http.post("/v1/messages", json=body(messages=messages)), 400, "invalid_request_error")
    assert "messages.1" in message
    assert upstream.requests == []


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b"", b'"text"', b'{"model": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(data: bytes, http: httpx2.Client) -> None:
    response = http.post("/v1/messages", content=data, headers={"content-type": "application/json"})
    check_error(response, 400, "invalid_request_error")


def test_a_body_over_the_limit_is_too_large(http: httpx2.Client) -> None:
    data = b'{"model": "' + b"x" * (33 * 2**20) + b'"}'
    try:
        response = http.post("/v1/messages", content=data)
    except (httpx2.WriteError, httpx2.ReadError):
        pytest.fail("the connection was closed before the answer could be read")
    check_error(response, 413, "request_too_large")


@pytest.mark.parametrize("name", ["a/b.txt", "a\x01b", 'a"b', "x" * 256])
def test_a_file_name_that_is_not_allowed_is_refused(name: str, http: httpx2.Client) -> None:
    response = http.post("/v1/files", files={"file": (name, b"data", "text/plain")})
    if response.status_code == 200:
        # What the multipart form makes of the name on its way is not ours: it must only be safe.
        assert not set('<>:"|?*\\/') & set(response.json()["filename"])
    else:
        check_error(response, 400, "invalid_request_error")


def test_an_upload_without_a_file_is_refused(http: httpx2.Client) -> None:
    response = http.post("/v1/files", files={"other": ("a.txt", b"data", "text/plain")})
    assert "file" in check_error(response, 400, "invalid_request_error")


@pytest.mark.parametrize(
    ("mistake", "name", "words"),
    [
        (call("bash_code_execution", '{"command": "echo'), "bash_code_execution", "JSON"),
        (call("bash_code_execution", "[1, 2]"), "bash_code_execution", ""),
        (call("bash_code_execution", {"cmd": "echo"}), "bash_code_execution", "command"),
        (call("bash_code_execution", {"command": 7}), "bash_code_execution", "command"),
        (call("bash_code_execution", {}), "bash_code_execution", "command"),
        (edit(command="view"), "text_editor_code_execution", "path"),
        (edit(command="view", path="/tmp", view_range="all"), "text_editor_code_execution", "view_range"),
        (call("code_execution", {"code": "print(1)"}), "code_execution", ""),
    ],
    ids=["cut-off", "a-list", "other-key", "number", "empty", "no-path", "bad-range", "not-offered"],
)
def test_the_models_mistake_is_a_result_and_the_loop_goes_on(
    mistake: Any, name: str, words: str, http: httpx2.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Turn([mistake]), Turn([bash("echo right")]), Turn([say("Now it is right.")]))
    answer = http.post("/v1/messages", json=body()).json()
    assert answer["stop_reason"] == "end_turn"
    assert answer["content"][0]["name"] == name
    error = answer["content"][1]["content"]
    assert error["error_code"] == "invalid_tool_input"
    assert words in error["error_message"]
    assert answer["content"][3]["content"]["stdout"] == "right\n"
    told = upstream.requests[1].messages[-1]["content"][0]
    assert told["type"] == "tool_result"
    assert words in str(told["content"])


def test_a_tool_that_nobody_offered_does_not_end_the_loop(http: httpx2.Client, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([call("launch_rocket", {})]), Turn([bash("echo right")]), Turn([say("Right.")]))
    events = stream_events(http, body())
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    (stop,) = [event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta"]
    assert stop == "end_turn"
    assert blocks[-1]["type"] == "text"
    told = upstream.requests[1].messages[-1]["content"][0]
    assert told["type"] == "tool_result"
    assert "launch_rocket" in str(told["content"])
