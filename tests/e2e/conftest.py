"""Plain HTTP, without a client library that would hide what went over the wire."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.script import Json
from tests.support.server import Server
from tests.support.sse import read_events
from tests.support.upstream import MODEL

OLDER: Json = {"type": "code_execution_20250522", "name": "code_execution"}
NEWER: Json = {"type": "code_execution_20250825", "name": "code_execution"}


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    """A client with the headers that every request needs."""
    with httpx2.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
        yield client


def body(**fields: Any) -> Json:
    """A good request, with some fields other than usual."""
    return {
        "model": MODEL,
        "max_tokens": 1024,
        "tools": [NEWER],
        "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }


def check_error(response: httpx2.Response, status: int, error_type: str) -> str:
    """The message of an error answer, after a check of its whole form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer.keys() == {"type", "error", "request_id"}
    assert answer["type"] == "error"
    assert answer["error"].keys() == {"type", "message"}
    assert answer["error"]["type"] == error_type
    assert answer["request_id"] == response.headers["request-id"]
    message: str = answer["error"]["message"]
    assert message
    return message


def stream_events(client: httpx2.Client, request: Json) -> list[Json]:
    """All events of a streamed answer."""
    with client.stream("POST", "/v1/messages", json=request | {"stream": True}) as response:
        assert response.status_code == 200
        return list(read_events(response.iter_lines()))
