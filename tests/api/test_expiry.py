"""What becomes of a request that names a container whose time is over, under each policy."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from codecove.tools.results import to_tool_result
from tests.support.server import Server, wait_until

pytestmark = pytest.mark.sandbox

Json = dict[str, Any]
FROM_CREATION = {"COVE_CONTAINER_IDLE_EXPIRY": "never", "COVE_CONTAINER_MAX_AGE": "1", "COVE_UPSTREAM_URL": ""}


@pytest.fixture
def client(server_with: Callable[[Mapping[str, str]], Server]) -> Callable[[str], Any]:
    @contextmanager
    def opened(on_expired: str) -> Iterator[httpx2.Client]:
        server = server_with(FROM_CREATION | {"COVE_ON_EXPIRED": on_expired})
        with httpx2.Client(base_url=server.url, headers=server.headers, trust_env=False, timeout=60) as client:
            yield client

    return opened


def message(*commands: str, container: str) -> Json:
    fences = "\n".join(f"```{command}\n```" for command in commands)
    return {
        "model": "codecove/blocks",
        "max_tokens": 1000,
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
        "messages": [{"role": "user", "content": fences}],
        "container": container,
    }


def expired(client: httpx2.Client) -> str:
    """A container whose time is over."""
    made = client.post("/v1/containers", json={}).json()
    path = f"/v1/containers/{made['id']}"
    wait_until(lambda: client.get(path).json()["state"] == "expired", "it never expired")
    shown = client.get(path).json()
    assert shown["last_active_at"] >= made["last_active_at"]
    wait_until(lambda: len(client.get(path).json()["events"]) == 2, "nobody recorded it")
    assert client.get(path).json()["events"][-1]["reason"] == "created 1 seconds ago"
    container_id: str = made["id"]
    return container_id


def results(answer: httpx2.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    return [block for block in answer.json()["content"] if block["type"].endswith("_tool_result")]


def test_age_counts_however_busy_a_container_is(client: Callable[[str], Any]) -> None:
    with client("tool_error") as http:
        made = http.post("/v1/containers", json={}).json()
        path = f"/v1/containers/{made['id']}"
        begun = time.monotonic()
        while http.get(f"{path}/files/workspace").status_code == 200:
            assert http.get(path).json()["expires_at"] == made["expires_at"]
            assert time.monotonic() < begun + 20
        assert http.get(path).json()["state"] == "expired"


def test_tool_error(client: Callable[[str], Any]) -> None:
    with client("tool_error") as http:
        container_id = expired(http)
        (block,) = results(http.post("/v1/messages", json=message("bash\nls", container=container_id)))
        assert block["content"]["error_code"] == "container_expired"


def test_http_error(client: Callable[[str], Any]) -> None:
    with client("http_error") as http:
        container_id = expired(http)
        for stream in (False, True):
            refused = http.post("/v1/messages", json=message("bash\nls", container=container_id) | {"stream": stream})
            assert refused.status_code == 404
            said = refused.json()["error"]["message"]
            # By these words Pydantic AI knows that it may ask again without the container.
            assert said.startswith(f"Container not found: '{container_id}' has expired")
            assert "leave `container` out" in said


def test_replacement_is_said_in_the_first_result_and_only_there(client: Callable[[str], Any]) -> None:
    with client("replace") as http:
        container_id = expired(http)
        answer = http.post("/v1/messages", json=message("bash\nls", "bash\necho two", container=container_id))
        first, second = results(answer)
        assert (first["content"]["return_code"], first["content"]["stdout"]) == (0, "")
        assert container_id in first["content"]["stderr"]
        assert "lost" in to_tool_result(first)["content"]
        assert second["content"] | {"content": []} == {
            "type": "bash_code_execution_result",
            "stdout": "two\n",
            "stderr": "",
            "return_code": 0,
            "content": [],
        }
        new_id = answer.json()["container"]["id"]
        assert new_id != container_id
        shown = http.get(f"/v1/containers/{new_id}").json()
        assert shown["events"][0]["reason"] == f"created by a request in place of {container_id}"


@pytest.mark.parametrize("on_expired", ["tool_error", "replace"])
def test_a_path_of_a_container_that_is_gone_is_not_found(client: Callable[[str], Any], on_expired: str) -> None:
    with client(on_expired) as http:
        path = f"/v1/containers/{expired(http)}"
        call = {"name": "bash_code_execution", "input": {"command": "ls"}}
        for answer in (
            http.post(f"{path}/executions", json=call),
            http.get(f"{path}/files/workspace"),
            http.put(f"{path}/files/workspace/a", content=b"x"),
        ):
            assert answer.status_code == 404
            assert "files are gone" in answer.json()["error"]["message"]
        assert http.get(path).json()["state"] == "expired"
        assert http.delete(path).status_code == 200
        assert http.get(path).status_code == 404
