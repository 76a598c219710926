"""`cove serve` as a child process: started with a clean environment, waited for, stopped."""

import contextlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 30
_READY = re.compile(r"ready at (http://\S+)")
_KEPT_VARIABLES = ("PATH", "HOME")


_IMPATIENT = {"COVE_SHUTDOWN_GRACE": "5"}
"""Whoever starts a server here wants to see the end of it."""


class ServerFailed(Exception):
    """The server did not start; the message has the end of what it printed."""


class ServerProcess:
    """A running `cove serve`. `url` is where it answers, `log` all that it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, name="server output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._lines)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_until_ready(self) -> None:
        """Raises `ServerFailed` if it ends, or does not say in time where it listens."""
        if not self._ready.wait(START_SECONDS) or not self.url:
            raise ServerFailed(f"the server did not start:\n{self.log[-4000:]}")

    def stop(self) -> None:
        """Ask it to end, as an operator would; kill it if it does not."""
        if self.exit_code is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)

    def _read(self) -> None:
        """Take in the output for as long as there is any: a pipe that nobody reads would stop the server."""
        assert self._process.stdout is not None  # noqa: S101  (asked for when it was started)
        with self._process.stdout as output:
            for line in output:
                self._lines.append(line)
                if found := _READY.search(line):
                    self.url = found[1]
                    self._ready.set()
        self._ready.set()


@contextlib.contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """A data directory that is removed at the end.

    Never while something is mounted below it: what a server that was killed left mounted would be removed with it.
    """
    directory = Path(tempfile.mkdtemp(prefix="codecove-"))
    try:
        yield directory
    finally:
        if str(directory) not in Path("/proc/self/mountinfo").read_text():
            shutil.rmtree(directory)


@contextlib.contextmanager
def running_server(data_dir: Path, settings: Mapping[str, str]) -> Iterator[ServerProcess]:
    """Run a server on a free port of the loopback interface until the block ends.

    `settings` are `COVE_*` variables; beside them the server gets only PATH, HOME and COVE_IMAGE_DIR, and
    5 seconds for what runs when it is stopped.
    """
    kept = {name: os.environ[name] for name in (*_KEPT_VARIABLES, "COVE_IMAGE_DIR") if name in os.environ}
    arguments = ["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(  # noqa: S603  (our own program)
        [str(Path(sysconfig.get_path("scripts"), "cove")), *arguments],
        env=kept | _IMPATIENT | dict(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C goes to every process of the terminal; the server is to be stopped by us alone.
        start_new_session=True,
    )
    server = ServerProcess(process)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
