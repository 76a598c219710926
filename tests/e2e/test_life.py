"""The life of a server: it ends in order, survives being killed, and keeps what it should."""

import os
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir
from tests.e2e.conftest import body, check_error
from tests.support.script import Json
from tests.support.server import KEY, belongings, leftovers, wait_until

pytestmark = pytest.mark.sandbox

HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as directory:
        yield directory
        assert leftovers(directory) == []


def ask(server: ServerProcess, command: str, **fields: object) -> Json:
    """Run a command with the built-in model."""
    message = {"role": "user", "content": f"```bash\n{command}\n```"}
    response = httpx2.post(
        f"{server.url}/v1/messages", headers=HEADERS, json=body(messages=[message], **fields), timeout=60
    )
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def result_of(answer: Json) -> Json:
    (result,) = [block["content"] for block in answer["content"] if block["type"].endswith("_tool_result")]
    content: Json = result
    return content


def test_containers_and_their_files_outlive_a_server_that_is_killed(data_dir: Path) -> None:
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        container = ask(server, "echo kept > /tmp/kept")["container"]["id"]
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: server.exit_code is not None, "the server outlived SIGKILL")
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        wait_until(lambda: all(one.startswith("process") for one in belongings(data_dir)), "a container's part is left")
        assert result_of(ask(server, "cat /tmp/kept", container=container))["stdout"] == "kept\n"


def test_a_server_killed_while_it_writes_a_file_into_a_container_leaves_the_old_one(data_dir: Path) -> None:
    begun = threading.Event()

    def half() -> Iterator[bytes]:
        yield b"half"
        begun.wait(30)
        os.kill(server.pid, signal.SIGKILL)
        yield b"the rest"

    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        container = ask(server, "echo old > /tmp/f")["container"]["id"]
        path = f"/v1/containers/{container}/files"
        writing = threading.Thread(target=write, args=(f"{server.url}{path}/tmp/f", half()))
        writing.start()
        drafts = f"{server.url}{path}/tmp/.drafts"
        wait_until(lambda: b'"size_bytes":4' in httpx2.get(drafts, headers=HEADERS).content, "nothing was written")
        begun.set()
        writing.join(30)
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        shown = ask(server, "cat /tmp/f; ls -A /tmp /files", container=container)
        assert result_of(shown)["stdout"].splitlines()[0] == "old"
        assert ".drafts" not in result_of(shown)["stdout"]


def write(url: str, data: Iterator[bytes]) -> None:
    """A PUT that is cut off."""
    with pytest.raises(httpx2.TransportError):
        httpx2.put(url, headers=HEADERS, content=data, timeout=60)


def test_what_runs_in_the_background_outlives_a_restart(data_dir: Path) -> None:
    counting = "touch f; (while sleep 0.1; do echo >> f; done) >/dev/null 2>&1 & echo $!"
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        answer = ask(server, counting)
        pid = result_of(answer)["stdout"]
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        script = "n=$(wc -l < f); until [ $(wc -l < f) -gt $n ]; do sleep 0.1; done; pgrep -of sleep"
        assert result_of(ask(server, script, container=answer["container"]["id"]))["stdout"] == pid


def test_a_server_that_is_stopped_ends_what_runs(data_dir: Path) -> None:
    answers: list[httpx2.Response | Exception] = []

    def run(url: str) -> None:
        message = {"role": "user", "content": "```bash\nsleep 600\n```"}
        try:
            answers.append(
                httpx2.post(f"{url}/v1/messages", headers=HEADERS, json=body(messages=[message]), timeout=90)
            )
        except httpx2.HTTPError as error:
            answers.append(error)

    with running_server(data_dir, {"COVE_API_KEY": KEY, "COVE_SHUTDOWN_GRACE": "1"}) as server:
        thread = threading.Thread(target=run, args=(server.url,))
        thread.start()
        containers = data_dir / "sandbox" / "containers"
        wait_until(lambda: containers.is_dir() and any(containers.iterdir()), "no container was made")
    thread.join(60)
    assert server.exit_code == 0, server.log
    (answer,) = answers
    # It is told, or the connection ends; it is not left waiting.
    if isinstance(answer, httpx2.Response) and answer.status_code != 200:
        check_error(answer, answer.status_code, answer.json()["error"]["type"])


def test_files_and_keys_outlive_a_restart(data_dir: Path) -> None:
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        upload = httpx2.post(f"{server.url}/v1/files", headers=HEADERS, files={"file": ("a.csv", b"1,2\n", "text/csv")})
        file_id = upload.json()["id"]
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        assert httpx2.get(f"{server.url}/v1/files/{file_id}", headers=HEADERS).json()["filename"] == "a.csv"


def test_a_key_made_on_the_command_line_opens_the_running_server(data_dir: Path) -> None:
    cove = str(Path(sysconfig.get_path("scripts"), "cove"))
    environment = {"PATH": os.environ["PATH"], "COVE_DATA_DIR": str(data_dir)}
    with running_server(data_dir, {"COVE_API_KEY": KEY}) as server:
        made = subprocess.run(
            [cove, "keys", "create", "second"], env=environment, capture_output=True, text=True, timeout=30, check=True
        )
        (secret,) = [word for word in made.stdout.split() if word.startswith("cove-")]
        headers = HEADERS | {"x-api-key": secret}
        assert httpx2.get(f"{server.url}/v1/files", headers=headers).status_code == 200
        assert secret not in server.log
        assert secret.encode() not in b"".join(path.read_bytes() for path in data_dir.glob("codecove.db*"))
