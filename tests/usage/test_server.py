"""The meter of a real server with real containers: reports, rows, and what is left after kill -9."""

import csv
import io
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from tests.cli.cove import cove, invoke, serving
from tests.support.server import wait_until

pytestmark = pytest.mark.sandbox

Json = dict[str, Any]
HEADERS = {"anthropic-version": "2023-06-01"}


def key(data_dir: Path, *arguments: str) -> str:
    done = invoke("keys", "create", "test", *arguments, "--data-dir", str(data_dir))
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def http(url: str, secret: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers={**HEADERS, "x-api-key": secret}, trust_env=False, timeout=60)


def bash(client: httpx2.Client, container_id: str, command: str) -> Json:
    call = {"name": "bash_code_execution", "input": {"command": command}}
    answer = client.post(f"/v1/containers/{container_id}/executions", json=call)
    assert answer.status_code == 200, answer.text
    content: Json = answer.json()["content"]
    return content


def usage(client: httpx2.Client, **params: Any) -> Json:
    answer = client.get("/v1/usage", params=params)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def rows(client: httpx2.Client, what: str, **params: Any) -> list[Json]:
    """All of them, page by page."""
    found: list[Json] = []
    page = client.get(f"/v1/usage/{what}", params={**params, "limit": 2}).json()
    found += page["data"]
    while page["has_more"]:
        page = client.get(f"/v1/usage/{what}", params={**params, "limit": 2, "page": page["next_page"]}).json()
        found += page["data"]
    return found


def assert_sums(client: httpx2.Client, **params: Any) -> Json:
    """The totals are the sums of the rows, and of every way to group them."""
    executions, sessions = rows(client, "executions", **params), rows(client, "sessions", **params)
    report = usage(client, group_by="day,workspace,key,tool", **params)
    totals: Json = report["totals"]
    assert totals["executions"] == len(executions)
    assert totals["sessions"] == len(sessions)
    for name, total in (("seconds", "execution_seconds"), ("cpu_seconds", "cpu_seconds")):
        added = sum(Decimal(str(row[name] or 0)) for row in executions)
        assert added == Decimal(str(totals[total])) == sum(Decimal(str(group[total])) for group in report["data"])
    assert sum(Decimal(str(row["billed_seconds"])) for row in sessions) == Decimal(str(totals["session_seconds"]))
    return totals


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Iterator[tuple[Path, str]]:
    data_dir = tmp_path_factory.mktemp("usage")
    with serving(data_dir, COVE_FREE_SESSION_HOURS="0.05") as (process, url):
        yield data_dir, url
        process.terminate()
        assert process.wait(30) == 0


def test_a_message_and_a_call_are_rows_with_all_that_is_known_of_them(site: tuple[Path, str]) -> None:
    data_dir, url = site
    secret = key(data_dir)
    with anthropic.Anthropic(base_url=url, api_key=secret, max_retries=0) as client:
        answer = client.beta.messages.with_raw_response.create(
            model="codecove/blocks",
            max_tokens=1000,
            betas=["code-execution-2025-08-25"],
            tools=[{"type": "code_execution_20250825", "name": "code_execution"}],
            messages=[{"role": "user", "content": "```bash\nsleep 0.3; head -c 3000000 /dev/zero; exit 3\n```"}],
        )
    message = answer.parse()
    assert message.container is not None
    with http(url, secret) as caller:
        edit = {"name": "text_editor_code_execution", "input": {"command": "view", "path": "/nowhere"}}
        caller.post(f"/v1/containers/{message.container.id}/executions", json=edit)
        executions, sessions = rows(caller, "executions"), rows(caller, "sessions")
        assert len(executions) == 2
        assert len(sessions) == 1
        command, view = executions
        assert command["request_id"] == answer.headers["request-id"]
        assert command["container_id"] == message.container.id == sessions[0]["container_id"]
        assert (command["tool"], command["return_code"], command["error_code"]) == ("bash_code_execution", 3, None)
        assert command["output_bytes"] == 3_000_000
        assert command["peak_memory_bytes"] > 2**20
        assert command["cpu_seconds"] > 0
        assert command["seconds"] >= 0.3
        said = message.model_dump()["usage"]["server_tool_use"]
        assert said["code_execution_requests"] == 1
        assert said["execution_time_seconds"] == pytest.approx(command["seconds"], abs=0.001)
        assert (view["tool"], view["error_code"]) == ("text_editor_code_execution", "file_not_found")
        assert sessions[0]["billed_seconds"] == 300
        totals = assert_sums(caller)
        assert (totals["executions"], totals["errors"], totals["sessions"]) == (2, 1, 1)
        lines = caller.get("/v1/usage/executions", headers={"accept": "application/x-ndjson"}).text.splitlines()
        assert len(lines) == 2
        (bill,) = usage(caller)["billing"]
        assert (bill["session_seconds"], bill["free_seconds"], bill["cost_usd"]) == (300, 180, "0.001667")
        caller.delete(f"/v1/containers/{message.container.id}")
        assert assert_sums(caller) == totals


def test_a_container_with_files_is_billed_though_nothing_ran_in_it(site: tuple[Path, str]) -> None:
    data_dir, url = site
    assert invoke("workspaces", "create", "files", "--data-dir", str(data_dir)).exit_code == 0
    with http(url, key(data_dir, "--workspace", "files")) as caller:
        file_id = caller.post("/v1/files", files={"file": ("a.txt", b"x", "text/plain")}).json()["id"]
        container_id = caller.post("/v1/containers", json={"files": [file_id]}).json()["id"]
        totals = usage(caller)["totals"]
        assert (totals["executions"], totals["sessions"], totals["session_seconds"]) == (0, 1, 300)
        caller.delete(f"/v1/containers/{container_id}")
        content = [{"type": "text", "text": "Hello"}, {"type": "container_upload", "file_id": file_id}]
        message = {
            "model": "codecove/blocks",
            "max_tokens": 1000,
            "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
            "messages": [{"role": "user", "content": content}],
        }
        answer = caller.post("/v1/messages", json=message).json()
        listed = caller.get(f"/v1/containers/{answer['container']['id']}/files/files/input").json()["entries"]
        assert len(listed) == 1
        totals = assert_sums(caller)
        assert (totals["executions"], totals["sessions"], totals["session_seconds"]) == (0, 2, 600)
        # Without files, and without a call, there is no container.
        message["messages"] = [{"role": "user", "content": "Hello"}]
        assert "container" not in caller.post("/v1/messages", json=message).json()
        assert assert_sums(caller) == totals
        caller.delete(f"/v1/containers/{answer['container']['id']}")


def test_only_an_admin_sees_all_workspaces(site: tuple[Path, str]) -> None:
    data_dir, url = site
    assert invoke("workspaces", "create", "=1+1", "--data-dir", str(data_dir)).exit_code == 0
    own, admin = key(data_dir, "--workspace", "=1+1"), key(data_dir, "--role", "admin")
    with http(url, own) as caller:
        container_id = caller.post("/v1/containers", json={}).json()["id"]
        bash(caller, container_id, "true")
        refused = caller.get("/v1/usage", params={"workspace": "all"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
        (group,) = usage(caller, group_by="workspace")["data"]
        assert group["workspace_name"] == "=1+1"
        caller.delete(f"/v1/containers/{container_id}")
    with http(url, admin) as operator:
        assert_sums(operator, workspace="all")
        names = {row["workspace_name"] for row in usage(operator, workspace="all", group_by="workspace")["data"]}
        assert "=1+1" in names
        asked = {"workspace": "all", "group_by": "workspace,tool"}
        text = operator.get("/v1/usage", params=asked, headers={"accept": "text/csv"}).text
        groups = list(csv.DictReader(io.StringIO(text)))
        assert {"'=1+1"} <= {row["workspace_name"] for row in groups}
        added = sum(Decimal(row["execution_seconds"]) for row in groups)
        assert added == Decimal(str(usage(operator, **asked)["totals"]["execution_seconds"]))
        entered = operator.get("/v1/usage", params={"group_by": "workspace"}, headers={"x-cove-workspace": "=1+1"})
        assert [row["workspace_name"] for row in entered.json()["data"]] == ["=1+1"]
    settings = {"COVE_URL": url, "COVE_API_KEY": admin}
    shown = cove("usage", "--all", "--by", "workspace,tool", settings=settings)
    assert "bash_code_execution" in shown.stdout, shown.stderr
    assert invoke("usage", "--all", "--by", "workspace,tool", "--csv", settings=settings).stdout.startswith(
        "workspace_id"
    )
    assert '"totals"' in invoke("usage", "--json", settings=settings).stdout


WRONG: list[tuple[Json, str]] = [
    ({"starting_at": "soon"}, "starting_at"),
    ({"starting_at": "2026-02-30"}, "starting_at"),
    ({"starting_at": ""}, "starting_at"),
    ({"starting_at": "9999-12-31"}, "starting_at"),
    ({"starting_at": "0001-01-01T00:00:00+23:59"}, "starting_at"),
    ({"ending_at": "1e9"}, "ending_at"),
    ({"starting_at": "2026-02-02", "ending_at": "2026-02-01"}, "ending_at"),
    ({"limit": "0"}, "limit"),
    ({"limit": "-1"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"limit": "9" * 400}, "limit"),
    ({"limit": "ten"}, "limit"),
    ({"page": "x"}, "page"),
    ({"page": "WzEsMl0"}, "page"),
    ({"page": "A" * 5000}, "page"),
    ({"format": "xml"}, "format"),
    ({"workspace": "default"}, "workspace"),
    ({"from": "2026-01-01"}, "from"),
    ({"order_by": "seconds"}, "order_by"),
]


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/executions", "/v1/usage/sessions"])
def test_a_wrong_query_is_refused_with_its_field(site: tuple[Path, str], path: str) -> None:
    data_dir, url = site
    grouping = [({"group_by": "hour"}, "group_by"), ({"group_by": "day,cost"}, "group_by")]
    if path != "/v1/usage":
        grouping = [({"group_by": "day"}, "group_by")]
    with http(url, key(data_dir)) as caller:
        for params, field in WRONG + grouping:
            answer = caller.get(path, params=params)
            assert answer.status_code == 400, (params, answer.text)
            assert answer.json()["error"]["type"] == "invalid_request_error"
            message = answer.json()["error"]["message"]
            assert message.startswith(f"{field}:"), message
            assert len(message) < 400
        for header, status in (({"x-api-key": "wrong"}, 401), ({"x-cove-workspace": "default"}, 403)):
            assert caller.get(path, headers=header).status_code == status
    with http(url, key(data_dir, "--role", "admin")) as operator:
        answer = operator.get(path, headers={"x-cove-workspace": "nowhere"})
        assert (answer.status_code, "nowhere" in answer.text) == (404, True)


def test_a_mistake_in_the_command_is_a_line_that_names_it(site: tuple[Path, str]) -> None:
    data_dir, url = site
    settings = {"COVE_URL": url, "COVE_API_KEY": key(data_dir)}
    for arguments, told in (
        (("--since", "yesterday"), "starting_at"),
        (("--until", "2020-01-01"), "ending_at"),
        (("--by", "day,price"), "'price' is none of"),
        (("--all",), "workspace"),
    ):
        done = invoke("usage", *arguments, settings=settings)
        assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
    done = invoke("usage", settings={**settings, "COVE_API_KEY": "wrong"})
    assert done.exit_code == 1
    assert "key" in done.stderr
    for name in ("x" * 3000, "", "a\nb"):
        refused = invoke("keys", "create", name, "--data-dir", str(data_dir))
        assert (refused.exit_code, "name: 1 to 200 printable" in refused.stderr) == (1, True), refused.stderr


def test_a_server_killed_in_mid_execution_leaves_an_interrupted_row_and_sums_that_are_right(
    tmp_path: Path, image: Path
) -> None:
    secret = key(tmp_path)
    with serving(tmp_path) as (process, url), http(url, secret) as caller:
        container_id = caller.post("/v1/containers", json={}).json()["id"]
        bash(caller, container_id, "sleep 0.2")

        def run() -> None:
            with pytest.raises(httpx2.HTTPError):
                bash(caller, container_id, "touch begun; sleep 100")

        thread = threading.Thread(target=run)
        thread.start()
        begun = f"/v1/containers/{container_id}/files/workspace/begun"
        wait_until(lambda: caller.get(begun).status_code == 200, "it never began")
        before = assert_sums(caller)
        process.kill()
        process.wait(30)
        thread.join(30)
    with serving(tmp_path) as (process, url), http(url, secret) as caller:
        after = assert_sums(caller)
        assert (after["executions"], after["errors"], after["sessions"]) == (2, 1, 1)
        first, second = rows(caller, "executions")
        assert (first["error_code"], second["error_code"]) == (None, "interrupted")
        assert second["finished_at"] is not None
        assert after["execution_seconds"] >= before["execution_seconds"]
        bash(caller, container_id, "true")
        assert assert_sums(caller)["sessions"] == 1
        caller.delete(f"/v1/containers/{container_id}")
        process.terminate()
        assert process.wait(30) == 0
