"""Workspaces that share a server: what they may use, and that they see nothing of each other."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.cove import invoke, serving
from tests.support.server import wait_until

pytestmark = pytest.mark.sandbox

Json = dict[str, Any]
NEVER_CONTAINER = "container_01aaaaaaaaaaaaaaaaaaaaaa"
NEVER_FILE = "file_01aaaaaaaaaaaaaaaaaaaaaa"


def cove(data_dir: Path, *arguments: str) -> str:
    done = invoke(*arguments, "--data-dir", str(data_dir))
    assert done.exit_code == 0, done.stderr
    return done.stdout


class Site:
    """A server, and clients of its workspaces."""

    def __init__(self, data_dir: Path, url: str) -> None:
        self.data_dir = data_dir
        self.url = url

    def client(self, workspace: str, *, role: str = "user", **headers: str) -> httpx2.Client:
        secret = cove(self.data_dir, "keys", "create", "test", "--workspace", workspace, "--role", role).strip()
        headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"} | headers
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("workspaces")
    with serving(data_dir, COVE_CONTAINER_IDLE_EXPIRY="500") as (process, url):
        yield Site(data_dir, url)
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def workspace(site: Site, request: pytest.FixtureRequest) -> Callable[..., httpx2.Client]:
    """Makes a workspace of this test alone, and a client of it."""

    def make(*quotas: str) -> httpx2.Client:
        name = f"{request.node.name} {len(made)}"
        cove(site.data_dir, "workspaces", "create", name, *quotas)
        client = site.client(name)
        request.addfinalizer(client.close)
        made.append(name)
        return client

    made: list[str] = []
    return make


def refused(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def code(command: str, **fields: Any) -> Json:
    """A message that the built-in model answers by running `command`."""
    return {
        "model": "codecove/blocks",
        "max_tokens": 1000,
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
        "messages": [{"role": "user", "content": f"```bash\n{command}\n```"}],
        **fields,
    }


def result(answer: httpx2.Response) -> Json:
    assert answer.status_code == 200, answer.text
    blocks = [block for block in answer.json()["content"] if block["type"].endswith("_tool_result")]
    content: Json = blocks[0]["content"]
    return content


def test_one_workspace_sees_nothing_of_another(workspace: Callable[..., httpx2.Client]) -> None:
    owner, stranger = workspace(), workspace()
    file_id = owner.post("/v1/files", files={"file": ("a.txt", b"secret", "text/plain")}).json()["id"]
    container_id = owner.post("/v1/containers", json={"files": [file_id]}).json()["id"]
    call = {"name": "bash_code_execution", "input": {"command": "cat /files/input/*/*"}}
    attacks: list[tuple[str, str, Json]] = [
        ("GET", "/v1/files/{file}", {}),
        ("GET", "/v1/files/{file}/content", {}),
        ("DELETE", "/v1/files/{file}", {}),
        ("POST", "/v1/containers", {"json": {"files": ["{file}"]}}),
        ("GET", "/v1/containers/{container}", {}),
        ("DELETE", "/v1/containers/{container}", {}),
        ("POST", "/v1/containers/{container}/executions", {"json": call}),
        ("GET", "/v1/containers/{container}/executions", {}),
        ("GET", "/v1/containers/{container}/files/workspace", {}),
        ("GET", "/v1/containers/{container}/files/etc/hostname", {}),
        ("PUT", "/v1/containers/{container}/files/workspace/a", {"content": b"x"}),
        ("POST", "/v1/messages", {"json": code("ls", container="{container}")}),
        ("POST", "/v1/messages", {"json": code("ls", container={"id": "{container}"})}),
        ("GET", "/v1/containers?after_id={container}", {}),
        ("GET", "/v1/files?after_id={file}", {}),
    ]

    def fill(value: Any, container: str, file: str) -> Any:
        if isinstance(value, str):
            return value.replace("{container}", container).replace("{file}", file)
        if isinstance(value, dict):
            return {key: fill(inner, container, file) for key, inner in value.items()}
        return [fill(inner, container, file) for inner in value] if isinstance(value, list) else value

    for method, path, given in attacks:
        real = stranger.request(method, fill(path, container_id, file_id), **fill(given, container_id, file_id))
        never = stranger.request(
            method, fill(path, NEVER_CONTAINER, NEVER_FILE), **fill(given, NEVER_CONTAINER, NEVER_FILE)
        )
        assert real.status_code in (400, 404), (method, path, real.text)
        assert real.status_code == never.status_code
        told = real.json()["error"]["message"].replace(container_id, NEVER_CONTAINER).replace(file_id, NEVER_FILE)
        assert told == never.json()["error"]["message"], (method, path)
    assert stranger.get("/v1/containers").json()["data"] == []
    assert stranger.get("/v1/files").json()["data"] == []
    # And the owner still has both, untouched.
    assert owner.post(f"/v1/containers/{container_id}/executions", json=call).json()["content"]["stdout"] == "secret"
    entries = owner.get(f"/v1/containers/{container_id}/files/workspace").json()["entries"]
    assert entries == []
    owner.delete(f"/v1/containers/{container_id}")


def test_the_last_container_of_a_quota_is_given_out_once(workspace: Callable[..., httpx2.Client]) -> None:
    client = workspace("--containers", "2")
    answers: list[httpx2.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.post("/v1/containers", json={}))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    made = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    over = next(answer for answer in answers if answer.status_code == 429)
    assert over.json()["error"]["type"] == "rate_limit_error"
    assert 0 < int(over.headers["retry-after"]) <= 500
    # A model is told instead, and can go on in a container that there is.
    told = result(client.post("/v1/messages", json=code("echo hello")))
    assert told["error_code"] == "too_many_requests"
    assert "2 containers" in told["error_message"]
    assert result(client.post("/v1/messages", json=code("echo hello", container=made[0])))["stdout"] == "hello\n"
    client.delete(f"/v1/containers/{made[0]}")
    again = client.post("/v1/messages", json=code("echo hello"))
    assert result(again)["stdout"] == "hello\n"
    for container_id in (made[1], again.json()["container"]["id"]):
        client.delete(f"/v1/containers/{container_id}")


def test_executions_at_once_are_held_to_the_quota(workspace: Callable[..., httpx2.Client]) -> None:
    client = workspace("--executions", "1")
    one, two = (client.post("/v1/containers", json={}).json()["id"] for _ in range(2))
    slow = {"name": "bash_code_execution", "input": {"command": "touch begun; until [ -e go ]; do sleep 0.1; done"}}
    thread = threading.Thread(target=lambda: client.post(f"/v1/containers/{one}/executions", json=slow))
    thread.start()
    begun = f"/v1/containers/{one}/files/workspace/begun"
    wait_until(lambda: client.get(begun).status_code == 200, "the first one never began")
    quick = {"name": "bash_code_execution", "input": {"command": "echo hello"}}
    refused_ = client.post(f"/v1/containers/{two}/executions", json=quick).json()["content"]
    assert refused_["error_code"] == "too_many_requests"
    client.put(f"/v1/containers/{one}/files/workspace/go", content=b"")
    thread.join(30)
    assert client.post(f"/v1/containers/{two}/executions", json=quick).json()["content"]["stdout"] == "hello\n"
    for container_id in (one, two):
        client.delete(f"/v1/containers/{container_id}")


def test_containers_have_the_limits_of_their_workspace_and_keep_them(
    site: Site, workspace: Callable[..., httpx2.Client], request: pytest.FixtureRequest
) -> None:
    client = workspace("--memory", "256MiB", "--disk", "64MiB")
    show = "grep MemTotal /proc/meminfo"
    first = client.post("/v1/messages", json=code(show))
    assert str(256 * 2**10) in result(first)["stdout"]
    cove(
        site.data_dir, "workspaces", "set", f"{request.node.name} 0", "--memory", "default", "--execution-timeout", "1"
    )
    container_id = first.json()["container"]["id"]
    assert str(256 * 2**10) in result(client.post("/v1/messages", json=code(show, container=container_id)))["stdout"]
    late = result(client.post("/v1/messages", json=code("sleep 30", container=container_id)))
    assert late["error_code"] == "execution_time_exceeded"
    second = client.post("/v1/messages", json=code(show))
    assert str(2**20) in result(second)["stdout"]
    for answer in (first, second):
        client.delete(f"/v1/containers/{answer.json()['container']['id']}")


def test_requests_a_minute_are_held_to_the_quota(
    site: Site, workspace: Callable[..., httpx2.Client], request: pytest.FixtureRequest
) -> None:
    client = workspace("--requests-per-minute", "3")
    answers = [client.get("/v1/files") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    left = [answer.headers["anthropic-ratelimit-requests-remaining"] for answer in answers]
    assert left == ["2", "1", "0", "0"]
    over = client.get("/v1/containers")
    assert over.headers["anthropic-ratelimit-requests-limit"] == "3"
    assert over.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert "3 requests a minute" in refused(over, 429)
    assert 0 < int(over.headers["retry-after"]) <= 60
    cove(site.data_dir, "workspaces", "set", f"{request.node.name} 0", "--requests-per-minute", "never")
    assert client.get("/v1/containers").status_code == 200


def test_the_key_of_an_admin_works_in_the_workspace_that_is_named(
    site: Site, workspace: Callable[..., httpx2.Client]
) -> None:
    owner = workspace()
    cove(site.data_dir, "workspaces", "create", "Zuhause")
    file = owner.post("/v1/files", files={"file": ("a.txt", b"x", "text/plain")}).json()
    name = "test_the_key_of_an_admin_works_in_the_workspace_that_is_named 0"
    with site.client("Zuhause", role="admin") as admin:
        assert admin.get("/v1/files").json()["data"] == []
        assert admin.get("/v1/files", headers={"x-cove-workspace": name}).json()["data"] == [file]
        assert "nowhere" in refused(admin.get("/v1/files", headers={"x-cove-workspace": "nowhere"}), 404)
    with site.client("Zuhause") as user:
        for named in (name, "nowhere", "Zuhause"):
            assert "admin" in refused(user.get("/v1/files", headers={"x-cove-workspace": named}), 403)
