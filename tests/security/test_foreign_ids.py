"""Ids of another workspace, over every endpoint that takes one: answered like ids that never existed."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from codecove.api.routes import ROUTES
from tests.cli.cove import invoke, serving

pytestmark = pytest.mark.sandbox

NEVER = "01" + "a" * 22
BODIES: dict[str, Any] = {
    "/v1/containers/{container_id}/executions": {"name": "bash_code_execution", "input": {"command": "id"}},
}


def takes_id(path: str) -> bool:
    return any(name.endswith("_id") and name != "model_id" for name in parameters(path))


def parameters(path: str) -> list[str]:
    return re.findall(r"{(\w+)(?::\w+)?}", path)


CASES = sorted(
    (method, route.path)
    for route in ROUTES
    if takes_id(route.path)
    for method in (getattr(route, "methods", None) or ["WEBSOCKET"])
    if method != "HEAD"
)


@dataclass
class Site:
    owner: httpx2.Client
    stranger: httpx2.Client
    ids: dict[str, str]
    """By the name of the parameter: what belongs to the owner."""


def made(owner: httpx2.Client, parameter: str) -> str:
    """Something of the owner's that a parameter of this name means."""
    makers: dict[str, Callable[[], httpx2.Response]] = {
        "file_id": lambda: owner.post("/v1/files", files={"file": ("a.txt", b"secret")}),
        "container_id": lambda: owner.post("/v1/containers", json={}),
        "batch_id": lambda: owner.post("/v1/messages/batches", json={"requests": [_batched()]}),
    }
    makers["message_batch_id"] = makers["batch_id"]
    assert parameter in makers, f"say here how to make what {parameter!r} means"
    return str(makers[parameter]().raise_for_status().json()["id"])


def _batched() -> dict[str, Any]:
    message = {"role": "user", "content": "hello"}
    return {"custom_id": "one", "params": {"model": "codecove/blocks", "max_tokens": 50, "messages": [message]}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("apart")
    with serving(data_dir) as (process, url):
        owner, stranger = (client(data_dir, url, name) for name in ("owner", "stranger"))
        with owner, stranger:
            names = {name for _, path in CASES for name in parameters(path) if name.endswith("_id")}
            yield Site(owner, stranger, {name: made(owner, name) for name in names})
        process.terminate()
        assert process.wait(60) == 0


def client(data_dir: Path, url: str, workspace: str) -> httpx2.Client:
    for command in (("workspaces", "create", workspace), ("keys", "create", "k", "--workspace", workspace)):
        done = invoke(*command, "--data-dir", str(data_dir))
        assert done.exit_code == 0, done.stderr
    headers = {"x-api-key": done.stdout.strip(), "anthropic-version": "2023-06-01"}
    return httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=60)


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: ids.get(found[1], "workspace"), path)


def seen(client: httpx2.Client, method: str, path: str, ids: dict[str, str]) -> tuple[int, str]:
    """Status and text of an answer, without what differs in any two: the ids, and the request's."""
    if method == "WEBSOCKET":
        status, text, request_id = _handshake(client, filled(path, ids))
    else:
        answer = client.request(method, filled(path, ids), json=BODIES.get(path))
        status, text, request_id = answer.status_code, answer.text, answer.headers["request-id"]
    text = text.replace(request_id, "request")
    for name, value in ids.items():
        text = text.replace(value, name)
    return status, text


def _handshake(client: httpx2.Client, path: str) -> tuple[int, str, str]:
    address = str(client.base_url.join(path).copy_with(scheme="ws"))
    try:
        headers = {name: client.headers[name] for name in ("x-api-key", "anthropic-version")}
        with connect(address, additional_headers=headers, proxy=None):
            return 101, "", "-"
    except InvalidStatus as refused:
        answer = refused.response
        return answer.status_code, bytes(answer.body).decode(), answer.headers["request-id"]


@pytest.mark.parametrize(("method", "path"), CASES)
def test_a_stranger_sees_and_changes_nothing(site: Site, method: str, path: str) -> None:
    never = {name: f"{value.partition('_')[0]}_{NEVER}" for name, value in site.ids.items()}
    foreign = seen(site.stranger, method, path, site.ids)
    assert foreign == seen(site.stranger, method, path, never)
    assert foreign[0] == 404


@pytest.mark.parametrize("resource", ["files", "containers", "messages/batches"])
def test_lists_and_their_cursors_show_nothing_of_others(site: Site, resource: str) -> None:
    if not any(
        route.path == f"/v1/{resource}" and "GET" in (getattr(route, "methods", None) or []) for route in ROUTES
    ):
        pytest.skip("this version has no such list")
    listed = site.stranger.get(f"/v1/{resource}").raise_for_status().json()
    assert (listed["data"], listed["has_more"]) == ([], False)
    own = site.owner.get(f"/v1/{resource}").raise_for_status().json()["data"][0]["id"]
    never = f"{own.partition('_')[0]}_{NEVER}"
    for cursor in ("after_id", "before_id"):
        answers = [site.stranger.get(f"/v1/{resource}", params={cursor: id_}) for id_ in (own, never)]
        texts = [answer.text.replace(answer.headers["request-id"], "") for answer in answers]
        assert answers[0].status_code == answers[1].status_code == 400
        assert texts[0].replace(own, "id") == texts[1].replace(never, "id")


def test_what_belongs_to_the_owner_is_still_there(site: Site) -> None:
    assert site.owner.get(f"/v1/files/{site.ids['file_id']}").status_code == 200
    container = site.owner.get(f"/v1/containers/{site.ids['container_id']}").json()
    assert container["state"] == "running"


@pytest.mark.parametrize("block", ["container_upload", "document", "image", "container"])
def test_ids_in_messages_are_the_workspaces_own(site: Site, block: str) -> None:
    def asked(ids: dict[str, str]) -> tuple[int, str]:
        source = {"type": "file", "file_id": ids["file_id"]}
        upload = (
            {"type": block, "file_id": ids["file_id"]}
            if block == "container_upload"
            else {"type": block, "source": source}
        )
        body = {
            "model": "codecove/blocks",
            "max_tokens": 50,
            "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
            "messages": [{"role": "user", "content": "hello" if block == "container" else [upload]}],
        } | ({"container": ids["container_id"]} if block == "container" else {})
        answer = site.stranger.post("/v1/messages", json=body)
        text = answer.text.replace(answer.headers["request-id"], "")
        return answer.status_code, text.replace(ids["file_id"], "file").replace(ids["container_id"], "container")

    never = {name: f"{value.partition('_')[0]}_{NEVER}" for name, value in site.ids.items()}
    assert asked(site.ids) == asked(never)
    assert asked(site.ids)[0] == 404
