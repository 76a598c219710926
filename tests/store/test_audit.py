"""The audit log: every administrative act has its entry, by whom, and no secret."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from codecove import clock
from codecove.errors import InvalidRequest
from codecove.store.audit import Audit, Span, command_line_user
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.store.workspaces import Workspaces
from codecove.workspaces import Caller, Quotas
from tests.cli.cove import invoke, serving

EVER = Span()


async def actions(database: Database) -> list[tuple[str, str, str]]:
    return [(act.actor, act.action, act.target) for act in await Audit(database).newest(EVER, 100, executions=True)]


async def test_acts_on_keys_and_workspaces_are_noted_with_their_actor(database: Database) -> None:
    workspace = await Workspaces(database).create("lab", Quotas(containers=3))
    secret, key = await Keys(database).create("operator", workspace_id=workspace.id, role="admin")
    await Keys(database).set_quotas(key.id, lambda _: Quotas(executions=2))
    admin = await Keys(database).authenticate(secret)
    caller = Caller(admin.workspace_id, admin.key_id, "admin", request_id="req_1")
    await Workspaces(database).enter(caller, "default")
    await Keys(database).revoke(key.id)
    await Keys(database).revoke(key.id)
    default = (await Workspaces(database).get("default")).id
    assert await actions(database) == [
        ("server", "workspace.create", workspace.id),
        ("server", "key.create", key.id),
        ("server", "key.set", key.id),
        (key.id, "workspace.enter", default),
        ("server", "key.revoke", key.id),
    ]
    acts = await Audit(database).newest(EVER, 100, executions=True)
    assert acts[0].details["containers"] == 3
    assert acts[3].request_id == "req_1"
    assert secret not in str(acts)


async def test_an_act_that_fails_leaves_no_entry(database: Database) -> None:
    await Workspaces(database).create("lab", Quotas())
    with pytest.raises(InvalidRequest):
        await Workspaces(database).create("lab", Quotas())
    assert len(await actions(database)) == 1


async def test_a_key_from_the_settings_is_noted_when_it_changes_and_only_then(database: Database) -> None:
    for secret in ("first", "first", "second", None, "second"):
        await Keys(database).ensure(secret)
    assert [action for _, action, _ in await actions(database)] == [
        "key.create",
        "key.revoke",
        "key.create",
        "key.revoke",
        "key.create",
    ]


async def test_a_span_bounds_what_is_read_and_old_entries_can_be_removed(database: Database) -> None:
    audit = Audit(database)
    for number in range(5):
        await audit.record("server.start", str(number))
    acts = await audit.newest(EVER, 3, executions=False)
    assert [act.target for act in acts] == ["2", "3", "4"]
    assert [act.target for act in await audit.newest(Span(until=acts[0].at), 10, executions=False)] == ["0", "1"]
    assert await audit.newest(Span(workspace_id="another"), 10, executions=False) == []
    await audit.forget(acts[1].at)
    assert [act.target for act in await audit.newest(EVER, 10, executions=False)] == ["3", "4"]
    await audit.forget(clock.now() + timedelta(days=1))
    assert await audit.newest(EVER, 10, executions=False) == []


@pytest.mark.sandbox
def test_the_command_shows_acts_and_executions_of_a_running_server(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path))
    secret = invoke("keys", "create", "laptop", *place).stdout.strip()
    headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"}
    with serving(tmp_path) as (_, url), httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
        container = client.post("/v1/containers", json={}).json()["id"]
        call = {"name": "bash_code_execution", "input": {"command": "echo sesame"}}
        ran = client.post(f"/v1/containers/{container}/executions", json=call)
        assert ran.status_code == 200
        client.delete(f"/v1/containers/{container}")
        shown = invoke("audit", "--json", *place).stdout
        assert "container.delete" in invoke("audit", "--no-executions", *place).stdout
    acts = [json.loads(line) for line in shown.splitlines()]
    assert [act["action"] for act in acts] == ["key.create", "server.start", "execution", "container.delete"]
    assert acts[0]["actor"] == command_line_user()
    assert acts[2]["actor"] == acts[3]["actor"] == acts[0]["target"]
    assert acts[2]["request_id"] == ran.headers["request-id"]
    assert acts[2]["input_sha256"] == hashlib.sha256(b"echo sesame").hexdigest()
    assert "sesame" not in shown
