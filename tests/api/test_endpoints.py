"""The endpoints of a real server, as any HTTP client sees them."""

import json
import re
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from codecove.app import create_app
from codecove.settings import Settings
from tests.support.server import Server

pytestmark = pytest.mark.sandbox

ENDPOINTS = [
    (method, re.sub(r"\{.*?\}", "x", route.path))
    for route in create_app(Settings()).routes
    if isinstance(route, Route) and route.path.startswith("/v1/")
    for method in sorted((route.methods or set()) - {"HEAD"})
]


@pytest.fixture
def http(server: Server) -> Any:
    with httpx2.Client(base_url=server.url, headers=server.headers, trust_env=False, timeout=30) as client:
        yield client


def error_of(answer: httpx2.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["request-id"]
    return answer.status_code, body["error"]["type"], body["error"]["message"]


def test_the_list_of_endpoints_is_complete() -> None:
    assert len(ENDPOINTS) == 27


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_every_endpoint_wants_a_key_and_a_version(server: Server, method: str, path: str) -> None:
    with httpx2.Client(base_url=server.url, trust_env=False) as client:
        nobody = client.request(method, path, headers={"anthropic-version": "2023-06-01"})
        assert error_of(nobody) == (401, "authentication_error", "x-api-key header is required")
        wrong = client.request(method, path, headers=server.headers | {"x-api-key": "wrong"})
        assert error_of(wrong) == (401, "authentication_error", "invalid x-api-key")
        bearer = client.request(method, path, headers={"authorization": f"Bearer {server.api_key}"})
        assert error_of(bearer) == (400, "invalid_request_error", "anthropic-version: header is required")
        old = client.request(method, path, headers=server.headers | {"anthropic-version": "1999-01-01"})
        assert error_of(old)[:2] == (400, "invalid_request_error")
        assert "1999-01-01" in error_of(old)[2]


def test_health_needs_no_key(server: Server) -> None:
    answer = httpx2.get(f"{server.url}/health", trust_env=False)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.headers["request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b'{"model": ', "line 1 column 11"),
        (b"[]", "must be a JSON object"),
        (b'{"model": "\xff"}', "not valid UTF-8"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "levels deep"),
    ],
)
def test_bad_body_is_a_400_that_says_where(http: httpx2.Client, path: str, body: bytes, said: str) -> None:
    status, error_type, message = error_of(http.post(path, content=body))
    assert (status, error_type) == (400, "invalid_request_error")
    assert said in message


@pytest.mark.parametrize("stream", ["yes", 1, []])
def test_stream_of_another_type_is_named(http: httpx2.Client, stream: object) -> None:
    status, _, message = error_of(http.post("/v1/messages", json={"stream": stream}))
    assert status == 400
    assert message.startswith("stream:")


@pytest.mark.parametrize("declared", [True, False])
def test_body_over_the_limit_is_refused(http: httpx2.Client, declared: bool) -> None:
    body = b'{"model": "' + b"x" * (33 * 2**20) + b'"}'
    pieces = (body[start : start + 2**20] for start in range(0, len(body), 2**20))
    answer = http.post("/v1/messages", content=body if declared else pieces)
    assert error_of(answer)[:2] == (413, "request_too_large")


def test_uploaded_file_is_listed_described_and_deleted(http: httpx2.Client) -> None:
    made = http.post("/v1/files", files={"file": ("Größe 1.csv", b"a,b\n1,2\n", "text/csv")})
    assert made.status_code == 200, made.text
    file = made.json()
    assert (file["type"], file["filename"], file["mime_type"]) == ("file", "Größe 1.csv", "text/csv")
    assert (file["size_bytes"], file["downloadable"]) == (8, False)
    assert http.get(f"/v1/files/{file['id']}").json() == file
    assert http.get("/v1/files", params={"limit": 1}).json()["data"] == [file]
    assert error_of(http.get(f"/v1/files/{file['id']}/content"))[:2] == (400, "invalid_request_error")
    assert http.delete(f"/v1/files/{file['id']}").json() == {"id": file["id"], "type": "file_deleted"}
    assert error_of(http.get(f"/v1/files/{file['id']}"))[:2] == (404, "not_found_error")


@pytest.mark.parametrize(
    ("files", "data", "said"),
    [
        ({}, {"note": "x"}, "note"),
        ({"file": ("a.txt", b"x", "text/plain")}, {"expires_in_seconds": "5"}, "expires_in_seconds"),
        ({"other": ("a.txt", b"x", "text/plain")}, {}, "other"),
        ({"file": ("a:b.txt", b"x", "text/plain")}, {}, "file"),
    ],
)
def test_form_that_is_no_upload_is_refused(http: httpx2.Client, files: Any, data: Any, said: str) -> None:
    before = http.get("/v1/files").json()
    status, _, message = error_of(http.post("/v1/files", files={**files, **{k: (None, v) for k, v in data.items()}}))
    assert status == 400
    assert said in message
    assert http.get("/v1/files").json() == before


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"limit": "9" * 400}, {"after_id": "file_x"}]
)
def test_wrong_query_of_the_list_is_named(http: httpx2.Client, query: dict[str, str]) -> None:
    status, _, message = error_of(http.get("/v1/files", params=query))
    assert status == 400
    assert message.startswith(next(iter(query)))


def test_models_are_those_of_the_upstream(http: httpx2.Client) -> None:
    page = http.get("/v1/models").json()
    assert page["data"]
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    first = page["data"][0]
    assert http.get(f"/v1/models/{first['id']}").json() == first
    assert error_of(http.get("/v1/models/no/such"))[:2] == (404, "not_found_error")


def test_query_string_of_the_beta_client_is_ignored(http: httpx2.Client) -> None:
    plain, beta = (error_of(http.post(f"/v1/messages{query}", json={})) for query in ("", "?beta=true"))
    assert plain == beta


def test_bytes_of_an_error_are_utf8_json(http: httpx2.Client) -> None:
    answer = http.get("/v1/files/gr%C3%B6%C3%9Fe")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["error"]["type"] == "not_found_error"
