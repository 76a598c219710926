"""/ready: whether the server can run containers, known from one that it ran."""

import stat
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import body
from tests.support.script import Turn, bash, say
from tests.support.server import Server, started
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox


def test_a_server_that_can_run_containers_is_ready(server: Server, upstream: ScriptedUpstream) -> None:
    answer = httpx2.get(f"{server.url}/ready", timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "ready"
    upstream.script(Turn([bash("true")]), Turn([say("Done.")]))
    httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=body(), timeout=60)
    assert httpx2.get(f"{server.url}/ready").json()["container_ran_seconds_ago"] < 60


def test_asking_leaves_no_container_behind_and_is_no_container_of_a_workspace() -> None:
    with started({}) as server:
        for _ in range(3):
            assert httpx2.get(f"{server.url}/ready", timeout=60).status_code == 200
        assert httpx2.get(f"{server.url}/v1/containers", headers=server.headers).json()["data"] == []


def test_a_runtime_that_breaks_makes_the_server_unready(tmp_path: Path) -> None:
    runtime = tmp_path / "runsc"
    runtime.write_text(f'#!/bin/sh\n[ -e {tmp_path}/broken ] && exit 1\nexec runsc "$@"\n')
    runtime.chmod(stat.S_IRWXU)
    with started({"COVE_RUNTIME": str(runtime)}) as server:
        (tmp_path / "broken").touch()
        answer = httpx2.get(f"{server.url}/ready", timeout=60)
        assert answer.status_code == 503
        assert "no container could be run" in answer.json()["reason"]
        (tmp_path / "broken").unlink()
        assert httpx2.get(f"{server.url}/ready", timeout=60).status_code == 503, "asking again at once costs nothing"
        assert httpx2.get(f"{server.url}/health").status_code == 200
