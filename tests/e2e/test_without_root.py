"""A server of an ordinary user, who is root in a user namespace only: what it holds, and what it leaves."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from codecove.images.library import Library
from codecove.settings import Settings
from tests.e2e.conftest import NEWER
from tests.support.ordinary import USER_ID, OrdinaryUser, why_not
from tests.support.script import Json
from tests.support.server import KEY, belongings, leftovers, wait_until

pytestmark = pytest.mark.sandbox

COVE = Path(sys.executable).with_name("cove")
DISK = 48 * 2**20
DEEP = "import os\nfor _ in range(25): os.mkdir('full' + 'd' * 200); os.chdir('full' + 'd' * 200)"
"""Deeper than a path may be long."""
SETTINGS = {
    "COVE_API_KEY": KEY,
    "COVE_DISK": str(DISK),
    "COVE_MEMORY": "384MiB",
    "COVE_PROCESSES": "32",
    "COVE_MAX_CONTAINERS": "1",
    "COVE_BACKGROUND_GRACE": "0.2",
    "COVE_POOL_MAX": "0",
    "COVE_SHUTDOWN_GRACE": "5",
}


class Machine:
    """One user's server, which can be killed and started again."""

    def __init__(self, user: OrdinaryUser, images: Path) -> None:
        self.user = user
        self.data = user.home / "data"
        self.environment = SETTINGS | {"COVE_DATA_DIR": str(self.data), "COVE_IMAGE_DIR": str(images)}
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        with (self.user.home.parent / "log").open("a") as log:
            self.process = subprocess.Popen(
                self.user.command([str(COVE), "serve", "--port", "0"]),
                env={"PATH": os.environ["PATH"], "HOME": str(self.user.home)} | self.environment,
                cwd=self.user.home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("codecove is ready at "), self.log
        self.url = line.split()[-1]

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    @property
    def log(self) -> str:
        return (self.user.home.parent / "log").read_text()

    def sites(self) -> list[Path]:
        return list((self.data / "sandbox/containers").iterdir())


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    images = Settings().image_dir
    needed = [COVE, Path(__file__), Library(images).resolve().rootfs / "bin/bash"]
    with tempfile.TemporaryDirectory(prefix="codecove-ordinary-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for part in ("probe", "user"):
            (directory / part).mkdir()
        if reason := why_not(directory / "probe", needed):
            pytest.skip(reason)
        machine = Machine(OrdinaryUser(directory / "user"), images)
        machine.start()
        try:
            yield machine
        finally:
            if machine.process is not None:
                assert machine.end(signal.SIGTERM) == 0, machine.log
            assert leftovers(machine.data) == []
            assert "Traceback" not in machine.log


@pytest.fixture
def client(machine: Machine) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=machine.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def container(machine: Machine) -> Iterator[str]:
    with http(machine) as client:
        container: str = client.post("/v1/containers", json={}).raise_for_status().json()["id"]
    yield container
    with http(machine) as client:  # the server may be another one by now
        client.delete(f"/v1/containers/{container}").raise_for_status()


@contextlib.contextmanager
def http(machine: Machine, *, seconds: float = 60) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=machine.url, headers=headers, timeout=seconds) as client:
        yield client


def call(command: str) -> Json:
    return {"name": "bash_code_execution", "input": {"command": command}}


def run(machine: Machine, container: str, command: str) -> Json:
    with http(machine) as client:
        answer: Json = client.post(f"/v1/containers/{container}/executions", json=call(command)).json()
    content: Json = answer.get("content", answer)
    return content


def test_a_conversation_takes_files_in_and_gives_them_back(client: anthropic.Anthropic, machine: Machine) -> None:
    sent = client.beta.files.upload(file=("rows.csv", b"key,value\na,1\nb,2\na,3\n", "text/csv"))
    command = (
        "(sleep 300 &)\ncp $INPUT_DIR/rows.csv .\npython3 - <<'END'\nimport os, pandas\n"
        "pandas.read_csv('rows.csv').groupby('key').sum().to_csv(os.environ['OUTPUT_DIR'] + '/sums.csv')\nEND"
    )
    first = ask(client, command, [{"type": "container_upload", "file_id": sent.id}])
    result = result_of(first)
    assert (result["return_code"], result["stderr"]) == (0, "")
    (output,) = result["content"]
    assert client.beta.files.download(output["file_id"]).read() == b"key,value\na,4\nb,2\n"
    second = ask(client, "id -u; pgrep -c sleep; cat rows.csv", container=first["container"]["id"])
    assert result_of(second)["stdout"].startswith("1000\n1\nkey,value\n")
    assert {path.stat().st_uid for path in machine.sites()} == {USER_ID}


def ask(client: anthropic.Anthropic, command: str, content: Sequence[Json] = (), **fields: Any) -> Json:
    """Have the built-in model run a command."""
    text = {"type": "text", "text": f"```bash\n{command}\n```"}
    messages: Any = [{"role": "user", "content": [*content, text]}]
    tools: Any = [NEWER]
    betas = ["code-execution-2025-08-25", "files-api-2025-04-14"]
    message = client.beta.messages.create(
        model="codecove/blocks", max_tokens=1000, tools=tools, messages=messages, betas=betas, **fields
    )
    answer: Json = message.to_dict(mode="json")
    return answer


def result_of(answer: Json) -> Json:
    (result,) = [block["content"] for block in answer["content"] if block["type"].endswith("_tool_result")]
    content: Json = result
    return content


def test_what_takes_too_much_memory_is_killed_and_the_rest_lives_on(machine: Machine, container: str) -> None:
    run(machine, container, "echo kept > kept; (exec -a witness sleep 300) &")
    ate = run(machine, container, "python3 -c 'x = []\nwhile True: x.append(b\"x\" * 4000000)'")
    assert ate["return_code"] == 137
    assert "memory limit" in ate["stderr"]
    assert run(machine, container, "cat kept; pgrep -cf witness")["stdout"] == "kept\n1\n"


def test_a_single_file_ends_at_the_disks_limit(machine: Machine, container: str) -> None:
    wrote = run(machine, container, "python3 -c \"open('full', 'wb').write(bytes(64 << 20))\"; stat -c %s full")
    assert "File too large" in wrote["stderr"]
    assert int(wrote["stdout"]) <= DISK


@pytest.mark.parametrize(
    "filler",
    [
        f"python3 -c \"{DEEP}\nfor n in range(1000): open(str(n), 'wb').write(bytes(8 << 20))\"",
        "python3 -c \"import itertools; [open(f'full{n}', 'x').close() for n in itertools.count()]\"",
    ],
    ids=["bytes", "files"],
)
def test_what_fills_the_disk_is_stopped_and_other_files_live_on(machine: Machine, container: str, filler: str) -> None:
    run(machine, container, "echo kept > kept")
    filled = run(machine, container, filler)
    assert filled["return_code"] != 0
    assert "disk limit was reached" in filled["stderr"]
    assert max(taken(site / "disk") for site in machine.sites()) < 2**31, "it wanted 8 GB"
    assert run(machine, container, "cat kept; echo more > more")["return_code"] != 0, "a full disk was written to"
    assert run(machine, container, "cat kept; rm -rf full*")["stdout"] == "kept\n"
    with http(machine) as client:
        client.put(f"/v1/containers/{container}/files/workspace/sent", content=b"sent").raise_for_status()
    assert run(machine, container, "echo more > more; cat kept more")["stdout"] == "kept\nmore\n"


def test_files_without_a_name_count_too(machine: Machine, container: str) -> None:
    script = "for n in range(1000): f = open('x', 'wb'); kept.append(f); os.remove('x'); f.write(bytes(8 << 20))"
    filled = run(machine, container, f'python3 -c "import os; kept = []\n{script}"')
    assert filled["return_code"] == 137
    assert "disk limit was reached" in filled["stderr"]
    assert run(machine, container, "echo more > more; cat more")["stdout"] == "more\n"


def test_a_file_that_is_sent_there_ends_at_the_disks_limit_too(machine: Machine, container: str) -> None:
    with http(machine) as client, contextlib.suppress(httpx2.TransportError):
        sent = client.put(f"/v1/containers/{container}/files/workspace/big", content=iter([bytes(2**20)] * 1000))
        assert sent.status_code >= 400
    assert run(machine, container, "ls; echo more > more; cat more")["stdout"] == "more\n"


def taken(directory: Path) -> int:
    return int(subprocess.check_output(["du", "--summarize", "--block-size=1", directory]).split()[0])


def test_a_fork_bomb_leaves_a_container_that_works(machine: Machine, container: str) -> None:
    run(machine, container, "echo kept > kept")
    many = "import subprocess; [subprocess.Popen(['sleep', '60']) for _ in range(100)]"
    assert "Resource temporarily unavailable" in run(machine, container, f'python3 -c "{many}"')["stderr"]
    run(machine, container, "bomb() { bomb | bomb & }; bomb")
    assert run(machine, container, "cat kept")["stdout"] == "kept\n"


def test_when_nobody_waits_any_more_all_that_was_started_is_gone(machine: Machine, container: str) -> None:
    command = "setsid sleep 301 & (setsid setsid sleep 302 &) ; trap '' TERM; touch started; sleep 303"
    with pytest.raises(httpx2.TimeoutException), http(machine, seconds=1) as client:
        client.post(f"/v1/containers/{container}/executions", json=call(command))
    assert run(machine, container, "pgrep -c sleep")["stdout"] == "0\n"


def test_files_outlive_a_server_that_is_killed_and_nothing_else_does(machine: Machine, container: str) -> None:
    run(machine, container, "echo kept > kept; sleep 300 &")
    wait_until(lambda: "T" in states(machine), "it was not frozen")
    sites = machine.sites()
    assert belongings(machine.data) != []
    machine.end(signal.SIGKILL)
    assert leftovers(machine.data) == []
    machine.start()
    assert machine.sites() == sites
    assert run(machine, container, "cat kept; pgrep -c sleep")["stdout"] == "kept\n0\n"


def states(machine: Machine) -> set[str]:
    """Of all processes that belong to the server's directory."""
    pids = [left.split()[1].rstrip(":") for left in belongings(machine.data)]
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    return found


def test_a_container_sleeps_and_wakes_with_its_processes(machine: Machine, container: str) -> None:
    run(machine, container, "echo kept > kept; sleep 300 &")
    with http(machine) as client:  # there is room for one that is awake
        other = client.post("/v1/containers", json={}).json()["id"]
        assert [event["state"] for event in client.get(f"/v1/containers/{container}").json()["events"]][-1] == "asleep"
        assert run(machine, container, "cat kept; pgrep -c sleep")["stdout"] == "kept\n1\n"
        client.delete(f"/v1/containers/{other}").raise_for_status()


@pytest.mark.soak
def test_doctor_says_of_each_limit_what_holds_it(machine: Machine) -> None:
    checked = machine.user.run([str(COVE), "doctor", "--json"], environment=machine.environment)
    found = {finding["part"]: finding for finding in json.loads(checked.stdout)}
    assert [part for part, finding in found.items() if finding["verdict"] == "bad"] == []
    assert "rootless" in found["user"]["found"]
    assert "server's look" in found["memory limit"]["found"]
    assert "not held" in found["cpu limit"]["found"]
    assert checked.returncode == 0


def test_what_is_missing_is_said() -> None:
    with tempfile.TemporaryDirectory(prefix="codecove-ordinary-") as name:
        Path(name).chmod(0o755)
        said = OrdinaryUser(Path(name), ids=False).run([str(COVE), "serve"], environment={"COVE_API_KEY": KEY})
    assert said.returncode == 3
    assert "usermod --add-subuids" in said.stderr
    assert "Traceback" not in said.stderr
