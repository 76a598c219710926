"""The life of a server process: it says when it is ready, why it can't start, and leaves nothing behind."""

import json
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from tests.cli.cove import cove, serving
from tests.support.server import leftovers


def test_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = cove("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 3
    assert port in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_address_that_is_none_is_said(tmp_path: Path) -> None:
    done = cove("serve", "--host", "256.1.1.1", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 3
    assert "256.1.1.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_image_is_said_with_the_remedy(tmp_path: Path) -> None:
    done = cove("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), "--image-dir", str(tmp_path / "images"))
    assert done.returncode == 3
    assert "cove image build" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sandbox
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_and_leaves_nothing(number: signal.Signals, tmp_path: Path, image: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as (process, url):
        assert httpx2.get(f"{url}/health", trust_env=False).json()["status"] == "ok"
        assert data_dir.stat().st_mode & 0o777 == 0o700
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert stdout == "", "the ready line is the only one on stdout"
    assert "Traceback" not in stderr
    assert leftovers(data_dir) == []


@pytest.mark.sandbox
def test_second_server_on_a_data_directory_is_refused(tmp_path: Path, image: Path) -> None:
    with serving(tmp_path) as (process, url):
        done = cove("serve", "--port", "0", "--data-dir", str(tmp_path))
        assert done.returncode == 3
        assert "another server" in done.stderr
        assert httpx2.get(f"{url}/health", trust_env=False).status_code == 200
        process.terminate()
        assert process.wait(30) == 0
    with serving(tmp_path) as (process, _):
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.sandbox
def test_log_is_json_when_asked_for(tmp_path: Path, image: Path) -> None:
    with serving(tmp_path, COVE_LOG_FORMAT="json") as (process, url):
        httpx2.get(f"{url}/v1/nothing?secret=sesame", headers={"x-api-key": "sesame"}, trust_env=False)
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    lines = [json.loads(line) for line in stderr.splitlines()]
    request = next(line for line in lines if line["message"] == "request")
    assert (request["method"], request["path"], request["status"]) == ("GET", "/v1/nothing", 404)
    assert request["request_id"].startswith("req_")
    assert "sesame" not in stderr
