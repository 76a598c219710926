"""What is the same for every endpoint: keys, versions, ids, the form of errors."""

import re

import httpx2
import pytest

from tests.e2e.conftest import body, check_error
from tests.support.script import Turn, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

REQUEST_ID = re.compile(r"req_01[A-Za-z0-9]{22}")
ENDPOINTS = [
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/some-model"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file_01nowhere"),
    ("GET", "/v1/files/file_01nowhere/content"),
    ("DELETE", "/v1/files/file_01nowhere"),
    ("POST", "/v1/files"),
]

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}])
def test_without_a_known_key_there_is_no_answer(
    method: str, path: str, headers: dict[str, str], server: Server, upstream: ScriptedUpstream
) -> None:
    headers = headers | {"anthropic-version": "2023-06-01"}
    response = httpx2.request(method, server.url + path, headers=headers, json=body() if method == "POST" else None)
    check_error(response, 401, "authentication_error")
    assert upstream.requests == []


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_a_key_may_come_as_a_bearer_token(version: str, server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Hello.")]))
    headers = {"authorization": f"Bearer {server.api_key}", "anthropic-version": version}
    response = httpx2.post(f"{server.url}/v1/messages?beta=true", headers=headers, json=body())
    assert response.status_code == 200


def test_a_request_without_a_version_is_refused(server: Server, upstream: ScriptedUpstream) -> None:
    response = httpx2.post(f"{server.url}/v1/messages", headers={"x-api-key": server.api_key}, json=body())
    assert "anthropic-version" in check_error(response, 400, "invalid_request_error")


def test_health_needs_no_key(server: Server) -> None:
    assert httpx2.get(f"{server.url}/health").status_code == 200


def test_every_answer_has_its_own_request_id(http: httpx2.Client, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([say("Hello.")]), Turn([say("Hello.")]))
    answers = [
        http.post("/v1/messages", json=body()),
        http.post("/v1/messages", json=body(stream=True)),
        http.get("/health"),
        http.get("/v1/files"),
        http.get("/nowhere"),
    ]
    ids = [answer.headers["request-id"] for answer in answers]
    assert all(REQUEST_ID.fullmatch(value) for value in ids), ids
    assert len(set(ids)) == len(ids)


def test_a_path_that_does_not_exist_is_an_error_of_the_api(http: httpx2.Client) -> None:
    check_error(http.get("/v1/nowhere"), 404, "not_found_error")


def test_a_method_that_does_not_exist_is_an_error_of_the_api(http: httpx2.Client) -> None:
    response = http.put("/v1/messages", json={})
    check_error(response, 405, response.json()["error"]["type"])


def test_models_are_those_of_the_upstream(http: httpx2.Client) -> None:
    assert MODEL in [model["id"] for model in http.get("/v1/models").json()["data"]]
    assert http.get(f"/v1/models/{MODEL}").json()["id"] == MODEL


def test_tokens_are_counted_with_the_tools_that_the_model_gets(http: httpx2.Client, upstream: ScriptedUpstream) -> None:
    request = {name: value for name, value in body().items() if name != "max_tokens"}
    counted = http.post("/v1/messages/count_tokens", json=request)
    assert counted.json()["input_tokens"] > 100
    assert upstream.requests[-1].tool_names == {"bash_code_execution", "text_editor_code_execution"}
