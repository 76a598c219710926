"""A real S3 server on loopback: JuiceFS's gateway, keeping everything in a temporary directory."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from codecove.files.places import S3Place

_BUCKET = "tests"
_KEY = "tests-key"
_SECRET = "tests-secret"


class S3Server:
    """The gateway, which can be stopped and started again; what it has acknowledged it keeps."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._meta = f"sqlite3://{directory}/meta.db"
        self._port, self._metrics_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        objects = f"{directory}/objects/"
        self._run("format", "--storage", "file", "--bucket", objects, "--trash-days", "0", self._meta, _BUCKET)

    def place(self, prefix: str) -> S3Place:
        """A place of its own for each prefix."""
        return S3Place(
            bucket=_BUCKET,
            prefix=prefix,
            endpoint=f"http://127.0.0.1:{self._port}",
            region="us-east-1",
            access_key_id=_KEY,
            secret_access_key=_SECRET,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--no-usage-report", "--no-banner", "--no-bgjob", "--metrics", f"127.0.0.1:{self._metrics_port}"]
        places = ["--cache-dir", f"{self._directory}/cache", "--log", f"{self._directory}/log"]
        address = f"127.0.0.1:{self._port}"
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", _program(), "gateway", *options, *places, self._meta, address],
                stdout=output,
                stderr=output,
                env=self._environment,
            )
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "output").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """End it in the middle of whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _environment(self) -> dict[str, str]:
        return {"MINIO_ROOT_USER": _KEY, "MINIO_ROOT_PASSWORD": _SECRET, "HOME": str(self._directory)}

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/minio/health/live", timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _run(self, *arguments: str) -> None:
        subprocess.run([_program(), *arguments], check=True, capture_output=True, env=self._environment)


@contextlib.contextmanager
def running_s3() -> Iterator[S3Server]:
    """A server for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="codecove-s3-") as directory:
        server = S3Server(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _program() -> str:
    return str(Path(sys.executable).parent / "juicefs")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
