"""The life of a server process: it says when it is ready, why it can't start, and leaves nothing behind."""

import hashlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.cli.cove import cove, serving
from tests.support.server import leftovers
from tests.support.sse import read_events


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
        assert str(tmp_path) in done.stderr
        assert "Traceback" not in done.stderr
        assert httpx2.get(f"{url}/health", trust_env=False).status_code == 200
        process.terminate()
        assert process.wait(30) == 0
    with serving(tmp_path) as (process, _):
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.sandbox
def test_log_is_json_when_asked_for_and_holds_no_secret(tmp_path: Path, image: Path) -> None:
    with serving(tmp_path, COVE_LOG_FORMAT="json", COVE_LOG_LEVEL="debug", COVE_API_KEY="sesame") as (process, url):
        headers = {"x-api-key": "sesame", "anthropic-version": "2023-06-01"}
        httpx2.get(f"{url}/v1/nothing?secret=sesame", headers=headers, trust_env=False)
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "open sesame"}]}
        assert httpx2.post(f"{url}/v1/messages", json=body, headers=headers, trust_env=False).status_code == 200
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    lines = [json.loads(line) for line in stderr.splitlines()]
    request = next(line for line in lines if line["message"] == "request")
    assert (request["method"], request["path"], request["status"]) == ("GET", "/v1/nothing", 404)
    assert request["request_id"].startswith("req_")
    assert "sesame" not in stderr
    assert hashlib.sha256(b"sesame").hexdigest() not in stderr


@contextmanager
def long_stream(url: str) -> Iterator[Iterator[str]]:
    """The lines of a stream whose code has begun to run, and would for ten minutes."""
    body = {
        "model": "codecove/blocks",
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": "```bash\nsleep 600\n```"}],
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    }
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", f"{url}/v1/messages", json=body, headers=headers) as answer,
    ):
        lines = answer.iter_lines()
        # The call's input is complete, so that it runs, or is about to.
        while "partial_json" not in (line := next(lines)) or "600" not in line:
            pass
        yield lines


@pytest.mark.sandbox
def test_running_stream_is_told_that_the_server_stops(tmp_path: Path, image: Path) -> None:
    with serving(tmp_path, COVE_API_KEY="k") as (process, url):
        with long_stream(url) as lines:
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)  # without the grace period
            last = list(read_events(lines))[-1]
        assert last["error"]["type"] == "overloaded_error"
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert leftovers(tmp_path) == []
