"""Containers as a client sees and uses them itself, over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.server import Server, wait_until

pytestmark = pytest.mark.sandbox

Json = dict[str, Any]


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, headers=server.headers, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def container(http: httpx2.Client) -> Iterator[str]:
    """A container of this test alone."""
    made = http.post("/v1/containers", json={})
    assert made.status_code == 200, made.text
    container_id: str = made.json()["id"]
    yield container_id
    http.delete(f"/v1/containers/{container_id}")


def refused(answer: httpx2.Response, status: int) -> str:
    body = answer.json()
    assert (answer.status_code, body["type"], body["request_id"]) == (status, "error", answer.headers["request-id"])
    message: str = body["error"]["message"]
    return message


def execute(http: httpx2.Client, container_id: str, name: str, **given: Any) -> Json:
    answer = http.post(f"/v1/containers/{container_id}/executions", json={"name": name, "input": given})
    assert answer.status_code == 200, answer.text
    block: Json = answer.json()
    assert block["type"] == f"{name}_tool_result"
    return block


def bash(http: httpx2.Client, container_id: str, command: str) -> Json:
    content: Json = execute(http, container_id, "bash_code_execution", command=command)["content"]
    return content


def test_a_container_is_made_listed_shown_and_deleted(http: httpx2.Client) -> None:
    made = http.post("/v1/containers", json={}).json()
    assert made["state"] == "running"
    assert made["expires_at"] > made["created_at"]
    assert [event["reason"] for event in made["events"]] == ["created by a request"]
    listed = http.get("/v1/containers", params={"state": "running", "limit": 5}).json()
    shown = {key: value for key, value in made.items() if key != "events"}
    assert listed["data"][0] | {"last_active_at": "", "expires_at": ""} == shown | {
        "last_active_at": "",
        "expires_at": "",
    }
    path = f"/v1/containers/{made['id']}"
    assert http.delete(path).json() == {"id": made["id"], "type": "container_deleted"}
    never = refused(http.get("/v1/containers/container_01aaaaaaaaaaaaaaaaaaaaaa"), 404)
    for answer in (http.get(path), http.delete(path), http.get(f"{path}/executions"), http.get(f"{path}/files/")):
        assert refused(answer, 404) == never.replace("container_01aaaaaaaaaaaaaaaaaaaaaa", made["id"])


def test_list_in_pages_has_every_container_once(http: httpx2.Client) -> None:
    made = [http.post("/v1/containers", json={}).json()["id"] for _ in range(3)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = http.get("/v1/containers", params=query).json()
        seen += [entry["id"] for entry in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        query["after_id"] = page["last_id"]
    assert len(seen) == len(set(seen))
    assert seen[:3] == made[::-1]
    before = http.get("/v1/containers", params={"before_id": made[0], "limit": 1}).json()
    assert ([entry["id"] for entry in before["data"]], before["has_more"]) == ([made[1]], True)
    for container_id in made:
        http.delete(f"/v1/containers/{container_id}")


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"after_id": "container_x"}, {"state": "deleted"}, {"before_id": "\0"}]
)
def test_wrong_query_of_the_list_is_named(http: httpx2.Client, query: dict[str, str]) -> None:
    assert refused(http.get("/v1/containers", params=query), 400).startswith(next(iter(query)))


def test_files_that_a_container_is_made_with_are_in_its_input_directory(http: httpx2.Client) -> None:
    file_ids = [
        http.post("/v1/files", files={"file": ("Größe 1.csv", content, "text/csv")}).json()["id"]
        for content in (b"one", b"two")
    ]
    container_id = http.post("/v1/containers", json={"files": file_ids}).json()["id"]
    assert bash(http, container_id, 'cd "$INPUT_DIR" && tail -n +1 *')["stdout"] == (
        "==> Größe 1-2.csv <==\ntwo\n==> Größe 1.csv <==\none"
    )
    http.delete(f"/v1/containers/{container_id}")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"files": ["file_01aaaaaaaaaaaaaaaaaaaaaa"]}, 404, "file_01aaaaaaaaaaaaaaaaaaaaaa"),
        ({"files": "file_x"}, 400, "files"),
        ({"files": ["file_x"] * 1001}, 400, "files"),
        ({"image": "x"}, 400, "image"),
    ],
)
def test_container_that_can_not_be_made_is_refused(http: httpx2.Client, body: Json, status: int, said: str) -> None:
    before = http.get("/v1/containers").json()["first_id"]
    assert said in refused(http.post("/v1/containers", json=body), status)
    assert http.get("/v1/containers").json()["first_id"] == before


def test_calls_answer_with_their_result_blocks(http: httpx2.Client, container: str) -> None:
    made = execute(
        http, container, "text_editor_code_execution", command="create", path="a.py", file_text="print(6 * 7)\n"
    )
    assert made["content"]["is_file_update"] is False
    ran = bash(http, container, 'python3 a.py; cp a.py "$OUTPUT_DIR"; exit 3')
    assert (ran["stdout"], ran["return_code"]) == ("42\n", 3)
    file_id = ran["content"][0]["file_id"]
    assert http.get(f"/v1/files/{file_id}/content").content == b"print(6 * 7)\n"
    python = execute(http, container, "code_execution", code="import os; print(os.getcwd())")
    assert python["content"]["stdout"] == "/workspace\n"
    recorded = http.get(f"/v1/containers/{container}/executions", params={"limit": 2}).json()
    assert recorded["has_more"] is True
    assert [(entry["name"], entry["return_code"]) for entry in recorded["data"]] == [
        ("code_execution", 0),
        ("bash_code_execution", 3),
    ]
    older = http.get(f"/v1/containers/{container}/executions", params={"after_id": recorded["last_id"]}).json()
    assert [entry["name"] for entry in older["data"]] == ["text_editor_code_execution"]


def test_mistakes_in_a_call(http: httpx2.Client, container: str) -> None:
    path = f"/v1/containers/{container}/executions"
    assert "bash_code_execution" in refused(http.post(path, json={"name": "bash", "input": {}}), 400)
    assert refused(http.post(path, json={"input": {}}), 400).startswith("name:")
    assert refused(http.post(path, json={"name": "code_execution", "input": "1"}), 400).startswith("input:")
    wrong = execute(http, container, "bash_code_execution", cmd="ls")
    assert wrong["content"]["error_code"] == "invalid_tool_input"
    assert refused(http.get(path, params={"after_id": "x-y"}), 400).startswith("after_id:")


def test_files_are_written_listed_and_read(http: httpx2.Client, container: str) -> None:
    base = f"/v1/containers/{container}/files"
    data = bytes(range(256)) * 4096 * 3

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    put = http.put(f"{base}/workspace/new/Gr%C3%B6%C3%9Fe%20%25.bin", content=pieces())
    assert put.status_code == 200, put.text
    assert put.json() | {"modified_at": ""} == {
        "type": "file",
        "name": "Größe %.bin",
        "path": "/workspace/new/Größe %.bin",
        "size_bytes": len(data),
        "modified_at": "",
    }
    listed = http.get(f"{base}/workspace/new").json()
    assert (listed["type"], listed["path"], listed["truncated"]) == ("directory", "/workspace/new", False)
    assert [(entry["name"], entry["size_bytes"]) for entry in listed["entries"]] == [("Größe %.bin", len(data))]
    got = http.get(f"{base}/workspace/new/Gr%C3%B6%C3%9Fe%20%25.bin")
    assert got.content == data
    assert got.headers["content-type"] == "application/octet-stream"
    root = http.get(base).json()
    assert "workspace" in [entry["name"] for entry in root["entries"]]
    assert http.get(f"{base}/").json()["path"] == "/"


def test_names_that_are_no_text_can_be_listed_and_read(http: httpx2.Client, container: str) -> None:
    bash(http, container, r"mkdir odd; printf x > odd/$'a\xff\nb'")
    entry = http.get(f"/v1/containers/{container}/files/workspace/odd").json()["entries"][0]
    assert entry["name"] == "a\udcff\nb"
    assert http.get(f"/v1/containers/{container}/files/workspace/odd/a%FF%0Ab").content == b"x"


def test_paths_that_can_not_be_used_are_named_and_never_leave_the_container(
    http: httpx2.Client, container: str
) -> None:
    base = f"/v1/containers/{container}/files"
    bash(http, container, "mkfifo pipe; ln -s /etc/shadow shadow; ln -s pipe ln; mkdir dir; ln -s loop loop")
    assert "No such file" in refused(http.get(f"{base}/workspace/none"), 404)
    assert refused(http.get(f"{base}/workspace/pipe/x"), 404)
    assert refused(http.get(f"{base}/workspace/pipe"), 400)
    assert refused(http.get(f"{base}/workspace/ln"), 400)
    assert refused(http.get(f"{base}/workspace/loop"), 400)
    assert refused(http.get(f"{base}/workspace/shadow"), 403)
    assert refused(http.put(f"{base}/workspace/dir", content=b"x"), 400)
    assert refused(http.put(f"{base}/etc/passwd", content=b"x"), 403)
    assert refused(http.put(f"{base}/", content=b"x"), 400)
    assert refused(http.get(f"{base}/workspace/a%00b"), 400)
    assert refused(http.get(f"{base}/{'x' * 300}"), 400)
    # Whatever climbs, climbs inside.
    inside = http.get(f"{base}/workspace/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fhostname")
    outside = bash(http, container, "cat /etc/hostname 2>/dev/null")["stdout"]
    assert inside.status_code == 404 or inside.text == outside


def test_a_deleted_container_ends_what_runs_in_it(http: httpx2.Client, container: str, server: Server) -> None:
    import threading  # noqa: PLC0415

    results: list[Json] = []

    def run() -> None:
        with httpx2.Client(base_url=server.url, headers=server.headers, trust_env=False, timeout=60) as other:
            results.append(execute(other, container, "bash_code_execution", command="touch begun; sleep 50"))

    thread = threading.Thread(target=run)
    thread.start()
    while http.get(f"/v1/containers/{container}/files/workspace/begun").status_code == 404:
        pass
    assert http.delete(f"/v1/containers/{container}").status_code == 200
    thread.join(30)
    assert results[0]["content"]["error_code"] == "unavailable"


def test_a_file_whose_upload_was_cut_off_is_as_it_was(http: httpx2.Client, container: str) -> None:
    def half() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionAbortedError

    url = f"/v1/containers/{container}/files/workspace"
    assert http.put(f"{url}/old", content=b"old").status_code == 200
    for name in ("old", "new"):
        with pytest.raises(ConnectionAbortedError):
            http.put(f"{url}/{name}", content=half())
    wait_until(lambda: bash(http, container, "ls -A /files/.drafts")["stdout"] == "", "the draft is left")
    assert http.get(f"{url}/old").content == b"old"
    assert http.get(f"{url}/new").status_code == 404


def test_a_file_of_proc_is_read_though_it_says_it_is_empty(http: httpx2.Client, container: str) -> None:
    assert http.get(f"/v1/containers/{container}/files/proc/cpuinfo").content.startswith(b"processor")
    assert http.put(f"/v1/containers/{container}/files/workspace/empty", content=b"").status_code == 200
    assert http.get(f"/v1/containers/{container}/files/workspace/empty").content == b""
