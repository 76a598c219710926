"""The commands that work on a server that runs: `cove files`, `cove containers`, `cove run`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from codecove.cli.app import app
from codecove.cli.transfer import local_name, printable
from tests.cli.cove import COVE, environment, invoke, serving

KEY = "cove-remote-tests"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("remote"), COVE_API_KEY=KEY, COVE_RUNTIME="crun") as (process, url):
        yield url
        process.terminate()
        assert process.wait(30) == 0


class Remote:
    """Runs commands against the server."""

    def __init__(self, url: str) -> None:
        self.environment = environment({"COVE_URL": url, "COVE_API_KEY": KEY})

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), env=self.environment, input=stdin, catch_exceptions=False)

    def good(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout


@pytest.fixture
def remote(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.chdir(tmp_path)
    return Remote(url)


@pytest.fixture
def container(remote: Remote) -> Iterator[str]:
    container_id = remote.good("containers", "create").strip()
    yield container_id
    remote.run("containers", "rm", container_id)


@pytest.mark.sandbox
def test_files_are_uploaded_listed_and_removed(remote: Remote) -> None:
    Path("Größe 1.csv").write_text("a,b\n1,2\n")
    Path("big.bin").write_bytes(bytes(3_000_000))
    file_ids = remote.good("files", "upload", "Größe 1.csv", "big.bin").split()
    listed = remote.good("files", "ls")
    assert "Größe 1.csv" in listed
    assert "3.0 MB" in listed
    refused = remote.run("files", "get", file_ids[0])
    assert (refused.exit_code, "not downloadable" in refused.stderr) == (1, True)
    remote.good("files", "rm", *file_ids)
    assert "Größe" not in remote.good("files", "ls")
    gone = remote.run("files", "rm", file_ids[0])
    assert (gone.exit_code, file_ids[0] in gone.stderr) == (1, True)


@pytest.mark.sandbox
def test_a_file_that_code_made_is_fetched(remote: Remote, container: str) -> None:
    remote.good("containers", "exec", container, "--", "bash", "-c", 'printf made > "$OUTPUT_DIR/made.txt"')
    line = next(line for line in remote.good("files", "ls").splitlines() if "made.txt" in line)
    file_id = next(word for word in line.split() if word.startswith("file_"))
    assert remote.good("files", "get", file_id) == "made.txt\n"
    assert Path("made.txt").read_text() == "made"
    again = remote.run("files", "get", file_id)
    assert (again.exit_code, "--force" in again.stderr) == (1, True)
    assert remote.good("files", "get", file_id, "--output", "-") == "made"
    assert sorted(path.name for path in Path().iterdir()) == ["made.txt"]


@pytest.mark.sandbox
def test_containers_are_listed_shown_and_removed(remote: Remote, container: str) -> None:
    assert container in remote.good("containers", "ls")
    shown = remote.good("containers", "show", container)
    assert "created by a request" in shown
    done = remote.run("containers", "exec", container, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")
    logs = remote.good("containers", "logs", container)
    assert "bash_code_execution" in logs
    assert "return code 7" in logs
    remote.good("containers", "rm", container)
    gone = remote.run("containers", "show", container)
    assert (gone.exit_code, container in gone.stderr) == (1, True)


@pytest.mark.sandbox
def test_files_are_copied_both_ways(remote: Remote, container: str) -> None:
    data = bytes(range(256)) * 20_000
    Path("näme 1%.bin").write_bytes(data)
    remote.good("containers", "cp", "näme 1%.bin", f"{container}:/workspace/new/")
    remote.good("containers", "cp", f"{container}:/workspace/new/näme 1%.bin", "back.bin")
    assert Path("back.bin").read_bytes() == data
    kept = remote.run("containers", "cp", f"{container}:/workspace/new/näme 1%.bin", ".")
    assert (kept.exit_code, "--force" in kept.stderr) == (1, True)
    missing = remote.run("containers", "cp", "nowhere", f"{container}:/workspace/x")
    assert (missing.exit_code, "nowhere" in missing.stderr) == (1, True)
    assert remote.run("containers", "cp", "back.bin", "there").exit_code == 1


@pytest.mark.sandbox
def test_folders_are_copied_in_and_out_and_nothing_is_written_elsewhere(remote: Remote, container: str) -> None:
    Path("in/sub").mkdir(parents=True)
    Path("in/a.txt").write_text("a")
    Path("in/sub/数据 🎉.csv").write_text("b")
    Path("in/.hidden").write_text("h")
    Path("in/link").symlink_to("/etc/passwd")
    assert "left out: in/link" in remote.run("containers", "cp", "in", f"{container}:/workspace").stderr
    hostile = (
        "cd /workspace/in; ln -s /etc/passwd p; ln -s .. up; mkfifo q; mkdir -p 'new\nline'; echo x > $'new\\nline/x'"
    )
    remote.run("containers", "exec", container, "--", "bash", "-c", hostile)
    out = remote.run("containers", "cp", f"{container}:/workspace/in", "out")
    assert (out.exit_code, "/workspace/in/p is neither" in out.stderr) == (0, True)
    found = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert found >= {"a.txt", ".hidden", "sub/数据 🎉.csv"}
    assert not any(path.is_symlink() for path in Path("out").rglob("*"))
    again = remote.run("containers", "cp", f"{container}:/workspace/in", "out")
    assert Path("out/in/a.txt").read_text() == "a"  # `out` is a directory by now
    assert again.exit_code == 0
    assert remote.run("containers", "cp", f"{container}:/workspace/in", "out").exit_code == 1
    Path("trap").mkdir()
    Path("trap/in").symlink_to("/tmp")
    trapped = remote.run("containers", "cp", f"{container}:/workspace/in", "trap")
    assert (trapped.exit_code, "is a link" in trapped.stderr) == (1, True)


@pytest.mark.sandbox
def test_several_are_removed_though_one_is_not_there(remote: Remote) -> None:
    Path("a").write_text("a")
    one, two = (remote.good("files", "upload", "a").strip() for _ in range(2))
    done = remote.run("files", "rm", one, "file_01" + "a" * 22, two)
    assert (done.exit_code, "there is no file" in done.stderr) == (1, True)
    listed = remote.good("files", "ls")
    assert one not in listed
    assert two not in listed


@pytest.mark.sandbox
def test_a_shell_keeps_directory_and_environment_from_line_to_line(remote: Remote, container: str) -> None:
    lines = [
        "mkdir -p a && cd a",
        "export NAME='two words'",
        'pwd; echo "$NAME"',
        'test -d "$OUTPUT_DIR" && echo own',
        "(exit 3)",
        'echo "last $?"',
        "false",
        "exit",
        "echo never",
    ]
    done = remote.run("containers", "exec", container, stdin="\n".join(lines) + "\n")
    assert done.stderr == ""
    assert done.stdout == "/workspace/a\ntwo words\nown\nlast 0\n"
    assert done.exit_code == 1
    assert remote.good("containers", "exec", container, "--", "find", "/tmp", "-name", ".cove*") == ""


@pytest.mark.sandbox
def test_a_shell_of_a_container_that_is_not_there_does_not_begin(remote: Remote) -> None:
    done = remote.run("containers", "exec", "container_01aaaaaaaaaaaaaaaaaaaaaa", stdin="echo x\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "container_01aaaaaaaaaaaaaaaaaaaaaa" in done.stderr


SCRIPT = """
import os, pathlib, sys
rows = pathlib.Path("data.csv").read_text().splitlines()
print(len(rows), sys.argv[1:])
pathlib.Path("beside.txt").write_text("beside")
pathlib.Path(".hidden").write_text("no")
pathlib.Path("data.csv").write_text("changed")
(pathlib.Path(os.environ["OUTPUT_DIR"]) / "out.txt").write_text("out")
sys.exit(5)
"""


@pytest.mark.sandbox
def test_run_brings_back_what_a_script_makes_and_leaves_nothing(remote: Remote) -> None:
    Path("script.py").write_text(SCRIPT)
    Path("data.csv").write_text("1\n2\n3\n")
    before = remote.good("containers", "ls"), remote.good("files", "ls")
    done = remote.run("run", "script.py", "--file", "data.csv", "--", "--fast", "a b")
    assert (done.exit_code, done.stdout) == (5, "3 ['--fast', 'a b']\n")
    assert Path("beside.txt").read_text() == "beside"
    assert Path("out.txt").read_text() == "out"
    # What is here stays as it is, and nothing hides.
    assert Path("data.csv").read_text() == "1\n2\n3\n"
    assert "data.csv is here already" in done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["beside.txt", "data.csv", "out.txt", "script.py"]
    assert (remote.good("containers", "ls"), remote.good("files", "ls")) == before


@pytest.mark.sandbox
def test_a_wrong_key_is_said_with_the_remedy(remote: Remote) -> None:
    done = remote.run("files", "ls", "--api-key", "wrong")
    assert done.exit_code == 1
    assert "COVE_API_KEY" in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "no url"])
def test_no_server_is_one_line_not_a_traceback(url: str) -> None:
    done = invoke("containers", "ls", "--url", url)
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.sandbox
def test_the_command_itself_reads_the_variables(remote: Remote) -> None:
    done = subprocess.run(
        [COVE, "containers", "ls"], env=remote.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", ".bashrc", "", "..", "a\0b"])
def test_names_that_would_leave_the_directory_or_hide_in_it_are_refused(name: str) -> None:
    assert local_name(name) is None


def test_names_on_the_terminal_can_not_control_it() -> None:
    assert printable("a\x1b[2Jb\nGröße") == r"a\x1b[2Jb\nGröße"
