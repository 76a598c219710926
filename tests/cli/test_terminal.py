"""`cove containers exec` on a terminal, and the WebSocket behind it."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.cli.cove import COVE, environment, invoke, serving
from tests.support.server import wait_until

pytestmark = pytest.mark.sandbox

KEY = "cove-terminal-tests"
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
NEVER = "container_01aaaaaaaaaaaaaaaaaaaaaa"


class Site:
    """A server, and one container for all tests."""

    def __init__(self, url: str, data_dir: Path, pid: int) -> None:
        self.url = url
        self.data_dir = data_dir
        self.pid = pid
        self.http = httpx2.Client(base_url=url, headers=HEADERS, timeout=30)
        self.container: str = self.http.post("/v1/containers", json={}).raise_for_status().json()["id"]

    def output(self, command: str) -> str:
        body = {"name": "bash_code_execution", "input": {"command": command}}
        answer = self.http.post(f"/v1/containers/{self.container}/executions", json=body)
        return str(answer.raise_for_status().json()["content"]["stdout"])

    def processes(self) -> str:
        return self.output("ps -u user -o args= | grep -v -e ps -e grep -e bash")

    def terminal(
        self, *argv: str, container: str | None = None, key: str | None = KEY, **asked: str
    ) -> ClientConnection:
        query = httpx2.QueryParams([*asked.items(), *(("arg", argument) for argument in argv)])
        headers = {**HEADERS, "x-api-key": key} if key else {"anthropic-version": HEADERS["anthropic-version"]}
        address = f"{self.url.replace('http', 'ws')}/v1/containers/{container or self.container}/terminal?{query}"
        return connect(address, additional_headers=headers, proxy=None, compression=None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("terminal")
    with serving(data_dir, COVE_API_KEY=KEY, COVE_SHUTDOWN_GRACE="1") as (process, url):
        site = Site(url, data_dir, process.pid)
        yield site
        with site.terminal() as left_open:
            left_open.recv(timeout=40)
            process.terminate()
            assert process.wait(30) == 0
        site.http.close()


class Window:
    """`cove containers exec` in a terminal of its own, and whoever sits before it."""

    def __init__(self, site: Site, *command: str) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(24, 80, tell=False)
        self.settings = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            [COVE, "containers", "exec", site.container, *command],
            env=environment({"COVE_URL": site.url, "COVE_API_KEY": KEY, "TERM": "xterm"}),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )
        self._seen = b""

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def sees(self, pattern: str) -> str:
        deadline = time.monotonic() + 60
        while (found := re.search(pattern.encode(), self._seen)) is None:
            ready, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            assert ready, self._seen
            self._seen += os.read(self._master, 4096)
        before, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return before.decode()

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:  # the kernel would, if the terminal were that of the command's session
            self.process.send_signal(signal.SIGWINCH)

    def is_restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.settings

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def window(site: Site, *command: str) -> Iterator[Window]:
    opened = Window(site, *command)
    try:
        yield opened
    finally:
        opened.close()


def test_a_shell_knows_its_window_and_its_exit_code_is_the_commands(site: Site) -> None:
    with window(site) as someone:
        someone.sees(r"\$ ")
        assert not someone.is_restored()
        someone.types("stty size; tty; pwd\r")
        assert "24 80" in someone.sees(r"/workspace\r\n")
        someone.sees(r"\$ ")  # before its prompt bash reads the size and sets it again
        someone.resize(40, 100)
        someone.types("sleep 0.5; stty size\r")
        someone.sees(r"[\r\n]40 100\r")
        someone.types("exit 7\r")
        assert someone.process.wait(40) == 7
        assert someone.is_restored()


def test_python_converses_and_control_c_interrupts_it(site: Site) -> None:
    with window(site, "--", "python3", "-q") as someone:
        someone.sees(r">>> ")
        someone.types("while True: pass\r\r")
        someone.sees(r"pass[^>]*\n")
        time.sleep(0.5)
        someone.types("\x03")
        someone.sees(r"KeyboardInterrupt")
        someone.types("6 * 7\r")
        someone.sees(r"\n42\r[^>]*>>> ")  # before it reads again the end of the input would be lost
        someone.types("\x04")
        assert someone.process.wait(40) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_when_the_command_is_killed_everything_inside_goes(site: Site, number: signal.Signals) -> None:
    with window(site) as someone:
        someone.sees(r"\$ ")
        someone.types("trap '' HUP TERM INT; (setsid sleep 4000 &) ; sleep 4001\r")
        someone.sees(r"4001\r\n")
        wait_until(lambda: site.processes().count("sleep") == 2, "it does not run")
        someone.process.send_signal(number)
        assert someone.process.wait(40) == (-9 if number is signal.SIGKILL else 255)
        assert someone.is_restored() or number is signal.SIGKILL
        wait_until(lambda: site.processes() == "", "something of it is left")


def test_a_terminal_is_an_execution_in_the_record(site: Site) -> None:
    with site.terminal("sh", "-c", "exit 3") as socket:
        assert json.loads(text_of(socket)) == {"type": "exit", "return_code": 3}
    newest = site.http.get(f"/v1/containers/{site.container}/executions").json()["data"][0]
    assert (newest["name"], newest["return_code"]) == ("terminal", 3)


def text_of(socket: ClientConnection) -> str:
    """The first message that is text."""
    while not isinstance(message := socket.recv(timeout=40), str):
        continue
    return message


def test_refusals_come_before_the_upgrade_as_http(site: Site) -> None:
    made = invoke("keys", "create", "other", "--workspace", "other", settings={"COVE_DATA_DIR": str(site.data_dir)})
    if made.exit_code != 0:
        invoke("workspaces", "create", "other", settings={"COVE_DATA_DIR": str(site.data_dir)})
        made = invoke("keys", "create", "other", "--workspace", "other", settings={"COVE_DATA_DIR": str(site.data_dir)})
    other = made.stdout.split()[-1]
    refused: list[tuple[int, dict[str, Any]]] = [
        (401, {"key": None}),
        (401, {"key": "wrong"}),
        (404, {"key": other}),
        (404, {"container": NEVER}),
        (400, {"rows": "0"}),
        (400, {"columns": "many"}),
        (400, {"term": "../../x"}),
    ]
    for status, given in refused:
        with pytest.raises(InvalidStatus) as caught:
            site.terminal(**given)
        assert caught.value.response.status_code == status, given
        body = json.loads(caught.value.response.body)
        assert body["type"] == "error"
        assert body["request_id"] == caught.value.response.headers["request-id"]


@pytest.mark.parametrize(
    ("message", "code"),
    [("rubbish", 1008), ('{"type": "resize", "rows": -1, "columns": 5}', 1008), (bytes((1 << 16) + 1), 1009)],
)
def test_messages_that_mean_nothing_end_it(site: Site, message: str | bytes, code: int) -> None:
    with site.terminal("sleep", "5000") as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                socket.recv(timeout=40)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code
    wait_until(lambda: site.processes() == "", "something of it is left")


def test_a_flood_that_nobody_reads_costs_the_server_little(site: Site) -> None:
    memory = Path(f"/proc/{site.pid}/statm")
    with site.terminal("yes", "nobody reads this") as socket:
        socket.close_timeout = 1  # the answer to its goodbye is behind the flood
        socket.recv(timeout=40)
        before = int(memory.read_text().split()[1])
        time.sleep(2)
        assert site.output("echo hi") == "hi\n"
        assert (int(memory.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") < 32 << 20
