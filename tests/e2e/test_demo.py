"""`make demo`: right answers end well, wrong ones and Ctrl-C do not, and nothing is left of any of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.script import Turn, bash, python, say
from tests.support.server import leftovers
from tests.support.upstream import KEY, ScriptedUpstream

pytestmark = pytest.mark.sandbox


def start(directory: Path, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The demo in a directory; its temporary files go to `tmp` there."""
    (directory / "tmp").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVE_IMAGE_DIR") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "codecove.demo"],
        cwd=directory,
        env=kept | {"TMPDIR": str(directory / "tmp")} | dict(settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check_nothing_is_left(directory: Path) -> None:
    assert list((directory / "tmp").iterdir()) == []
    assert leftovers(directory) == []


def test_every_step_gives_the_right_answer(tmp_path: Path) -> None:
    output, _ = (demo := start(tmp_path)).communicate(timeout=90)
    assert demo.returncode == 0, output
    assert "Everything gave the right answer" in output
    assert (tmp_path / "demo-output" / "temperatures.png").read_bytes().startswith(b"\x89PNG")
    check_nothing_is_left(tmp_path)


def test_another_model_does_the_same_and_a_wrong_answer_fails(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([python("print('mean 5.5, standard deviation 3.0277')")]),
        Turn([say("Mean 5.5, standard deviation 3.03.")]),
        Turn([bash("echo the mean is 7")]),
        Turn([say("The mean is 7.")]),
    )
    demo = start(tmp_path, {"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": KEY})
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1, output
    assert "the mean of 1..10 is 5.5" in output
    check_nothing_is_left(tmp_path)


def test_ctrl_c_cleans_up(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Quickstart" in line:
            break
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=90)
    assert demo.returncode == 130
    check_nothing_is_left(tmp_path)


_WITH_A_STEP_THAT_LOSES_IT = """
import contextlib, os, signal, types
from codecove.demo import show
from codecove.demo.steps import Step

class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def loses_it(conversation):
    Ends()  # Python says "Exception ignored in", and goes on
    return "and goes on"

@contextlib.contextmanager
def no_server(data_dir, settings):
    yield types.SimpleNamespace(url="http://127.0.0.1:9")

show.running_server = no_server
show.STEPS = [Step("the only step", loses_it)]
raise SystemExit(show.main())
"""


def test_ctrl_c_counts_also_where_its_exception_is_lost(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITH_A_STEP_THAT_LOSES_IT],
        env={"COVE_DEMO_MODEL": "any", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Exception ignored" in ended.stderr
    assert "and goes on" in ended.stdout
    assert ended.returncode == 130, ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["-m", "codecove.demo"], ["-m", "codecove.cli", "version"]], ids=["demo", "cove"])
def test_ctrl_c_while_it_loads_prints_no_traceback(command: list[str]) -> None:
    # Heeded also where what runs the tests was started in the background. Python says each module that has been
    # imported: those looked for come in the middle of the others.
    python = ["env", "--default-signal=INT", sys.executable, "-X", "importtime"]
    program = subprocess.Popen([*python, *command], stderr=subprocess.PIPE, text=True)
    assert program.stderr is not None
    for line in program.stderr:
        if line.endswith((" anthropic._types\n", " typer.main\n")):
            break
    program.send_signal(signal.SIGINT)
    assert "Traceback" not in program.communicate(timeout=60)[1]
    assert program.returncode == 130


def test_a_server_that_cannot_start_is_reported(tmp_path: Path) -> None:
    demo = start(tmp_path, {"COVE_RUNTIME": "/nonexistent/runtime"})
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1
    assert "/nonexistent/runtime" in output
    check_nothing_is_left(tmp_path)
