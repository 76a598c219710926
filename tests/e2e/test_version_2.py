"""A whole server under control groups of version 2. The machine of `make test-cgroup2` is emulated: it waits long."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

GROUPS = Path("/sys/fs/cgroup")
KEY = "a-key-of-this-machine"

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not (GROUPS / "cgroup.controllers").exists(), reason="control groups of version 1"),
]


def groups() -> list[Path]:
    return [path for path in GROUPS.rglob("codecove-*") if path.is_dir()]


@pytest.fixture(params=["crun", "runsc"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COVE_API_KEY": KEY, "COVE_BOOT_TIMEOUT": "300"}
    environment |= {"COVE_DATA_DIR": str(tmp_path / "data"), "COVE_RUNTIME": request.param}
    command = [str(Path(sys.executable).with_name("cove")), "serve", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()
        assert server.wait(300) == 0
    assert groups() == []


def output(client: httpx2.Client, command: str, container: str | None = None) -> tuple[str, str]:
    """What a command prints, and the container it ran in."""
    body = {
        "model": "codecove/blocks",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": f"```bash\n{command}\n```"}],
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    }
    answer = client.post("/v1/messages", json=body if container is None else body | {"container": container})
    message = answer.raise_for_status().json()
    results = [block["content"] for block in message["content"] if block["type"] == "bash_code_execution_tool_result"]
    return results[0]["stdout"], message["container"]["id"]


@pytest.mark.timeout(1200)
def test_a_server_keeps_its_limits_and_leaves_nothing(url: str) -> None:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "anthropic-beta": "code-execution-2025-08-25"}
    with httpx2.Client(base_url=url, headers=headers, timeout=900, trust_env=False) as client:
        said, container = output(client, "id -u; echo kept > file")
        assert said == "1000\n"
        assert output(client, "python3 -c 'x = bytearray(2 << 30)' || cat file", container)[0] == "kept\n"
        bomb = "for i in $(seq 300); do sleep 5 & done 2> /dev/null; echo survived"
        assert "survived" in output(client, bomb, container)[0]
        limits = {file.name: file.read_text().split() for group in groups() for file in group.glob("*/*.max")}
        assert "max" not in limits["memory.max"] + limits["pids.max"]
        assert limits["cpu.max"][0] == limits["cpu.max"][1]
