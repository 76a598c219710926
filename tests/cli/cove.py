"""The real command, in a process of its own with a clean environment."""

import os
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from codecove.cli.app import app

READY = "codecove is ready at "

COVE = str(Path(sysconfig.get_path("scripts"), "cove"))


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every command gets, and `settings` on top."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVE_IMAGE_DIR") if name in os.environ}
    return kept | {"COLUMNS": "200"} | dict(settings or {})


def cove(
    *arguments: str, settings: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `cove` to its end."""
    return subprocess.run(
        [COVE, *arguments],
        env=environment(settings),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def invoke(*arguments: str, settings: Mapping[str, str] | None = None) -> Result:
    """The same in this process, which is faster; for what ends before it starts anything."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVE_")]:
            patch.delenv(name)
        return CliRunner().invoke(app, list(arguments), env=environment(settings), catch_exceptions=False)


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its URL. It is ended if the block has not done so."""
    with subprocess.Popen(
        [COVE, "serve", "--port", "0", "--data-dir", str(data_dir)],
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(READY), process.communicate()
            yield process, line.removeprefix(READY).strip()
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
