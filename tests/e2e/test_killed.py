"""A server that is killed at random moments under load keeps its promises, over both databases."""

import asyncio
import functools
import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir
from tests.e2e.killing import Ledger, Load, client
from tests.support.script import Json
from tests.support.server import KEY, leftovers, wait_until

pytestmark = pytest.mark.sandbox

SETTINGS = {"COVE_API_KEY": KEY, "COVE_UPLOADS_DOWNLOADABLE": "true", "COVE_MAX_CONTAINERS": "8"}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as directory:
        yield directory
        assert leftovers(directory) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield SETTINGS
        return
    database = request.getfixturevalue("postgres").new_database()
    with asyncio.Runner() as runner:
        url = runner.run(database.__aenter__())
        yield SETTINGS | {"COVE_DATABASE_URL": url.render_as_string(hide_password=False)}
        runner.run(database.__aexit__(None, None, None))


@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.soak)])
def test_nothing_acknowledged_is_lost_and_nothing_leaks(data_dir: Path, settings: dict[str, str], kills: int) -> None:
    ledger, pick, idle = Ledger(), random.Random(7), None
    for number in range(kills):
        with running_server(data_dir, settings) as server, client(server.url) as http:
            idle = check_promises(http, ledger, data_dir, idle)
            with Load(server.url, ledger, number):
                time.sleep(pick.uniform(0.2, 3))
                os.kill(server.pid, signal.SIGKILL)
                wait_until(functools.partial(has_ended, server), "the server outlived SIGKILL")
    with running_server(data_dir, settings) as server, client(server.url) as http:
        check_promises(http, ledger, data_dir, idle)
        check_everything(http, ledger, data_dir)
        remove_everything(http, data_dir)
    print(f"{kills} kills, {ledger.operations} operations, {ledger.interrupted} interrupted")
    assert server.exit_code == 0
    assert ledger.interrupted > 0
    assert ledger.broken == []


def has_ended(server: ServerProcess) -> bool:
    return server.exit_code is not None


def check_promises(http: httpx2.Client, ledger: Ledger, data_dir: Path, idle: Json | None) -> Json:
    """What must hold at each start, before anything is asked for. The value is a container that nobody uses."""
    running = {container["id"]: container for container in pages(http, "/v1/containers", state="running")}
    assert ledger.containers.keys() <= running.keys()
    assert not ledger.deleted_containers & running.keys()
    assert len(list((data_dir / "sandbox/containers").glob("*"))) == len(running)
    listed = {file["id"]: file for file in pages(http, "/v1/files")}
    assert ledger.files.keys() <= listed.keys()
    assert not ledger.deleted & listed.keys()
    for container_id in running:
        for execution in pages(http, f"/v1/containers/{container_id}/executions"):
            assert execution["finished_at"] or execution["error_code"] == "interrupted", execution
    if idle is None:
        idle = http.post("/v1/containers", json={}).json()
        idle = http.get(f"/v1/containers/{idle['id']}").json()
        return {key: value for key, value in idle.items() if key != "events"}
    # It was not used, so no restart has moved its time.
    assert running[idle["id"]] == idle
    return idle


def check_everything(http: httpx2.Client, ledger: Ledger, data_dir: Path) -> None:
    """Every byte that was acknowledged is there, and no other blob."""
    hashes = set()
    for file in pages(http, "/v1/files"):
        content = http.get(f"/v1/files/{file['id']}/content").raise_for_status().content
        assert len(content) == file["size_bytes"]
        sha256 = hashlib.sha256(content).hexdigest()
        assert ledger.files.get(file["id"], sha256) in (sha256, "")
        hashes.add(sha256)
    assert len(blobs(data_dir)) == len(hashes)
    for container_id, paths in ledger.containers.items():
        for path, allowed in paths.items():
            answer = http.get(f"/v1/containers/{container_id}/files{path}")
            found = None if answer.status_code == 404 else answer.raise_for_status().content
            assert found in allowed, f"{path}: {len(found or b'')} bytes, not one of {[len(a or b'') for a in allowed]}"


def remove_everything(http: httpx2.Client, data_dir: Path) -> None:
    """And nothing is left of it."""
    for kind in ("files", "containers"):
        for entry in pages(http, f"/v1/{kind}"):
            http.delete(f"/v1/{kind}/{entry['id']}").raise_for_status()
    assert blobs(data_dir) == []
    assert list((data_dir / "sandbox/containers").glob("*")) == []


def blobs(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def pages(http: httpx2.Client, path: str, **params: Any) -> list[Json]:
    """All entries of a list."""
    found: list[Json] = []
    while True:
        page = http.get(path, params=params | {"limit": 1000}).raise_for_status().json()
        found += page["data"]
        if not page["has_more"]:
            return found
        params["after_id"] = page["last_id"]
