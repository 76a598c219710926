"""A command in the bash that waits finds what it finds in a new one: each of these runs in both."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codecove.sandbox.frames import Interpreter
from codecove.sandbox.host import Execution
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from codecove.sandbox.warm import suits
from tests.sandbox.hosts import Shell, new_name

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

under_gvisor = pytest.mark.parametrize("host", ["runsc"], indirect=True)
"""Elsewhere a shell starts in a millisecond, and none waits."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shell(host: LocalHost) -> AsyncIterator[Shell]:
    shell = Shell(host, await host.create(new_name()))
    yield shell
    await host.delete(shell.container.id)


@pytest.fixture
def found(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each command that was meant for the shell that waits, whether there was one."""
    return finding(shell, monkeypatch)


def finding(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    warmth, found = shell.container._warmth, list[bool]()
    assert warmth is not None
    original = warmth.used

    def used(kind: Interpreter, *, cold: bool) -> None:
        if kind is Interpreter.SHELL:
            found.append(not cold)
        original(kind, cold=cold)

    monkeypatch.setattr(warmth, "used", used)
    return found


async def both(shell: Shell, command: str, *, env: dict[str, str] | None = None) -> tuple[Execution, Execution]:
    """In a new shell and in the one that waits. With a name given to it, it is always a new one."""
    new, waiting = [
        await shell.container.run(["bash", "-c", "--", command, *name], env=env or {}, timeout=30)
        for name in (["bash"], [])
    ]
    return new, waiting


NEVER_THE_SAME = "BASHPID|PPID|RANDOM|SRANDOM|SECONDS|EPOCH|_=|BASH_ARGV|BASH_ARGC|BASH_EXECUTION_STRING"

SAME = {
    "variables": f"declare -p | grep -Ev ' ({NEVER_THE_SAME})'; set | grep -Ev '^({NEVER_THE_SAME})'",
    "options": "set -o; shopt; echo $- $0 $# $BASH $SHLVL $_; trap -p; alias; declare -F",
    "environment": "env | sort; echo; tr '\\0' '\\n' < /proc/$$/environ | grep . | sort; pwd; umask",
    "identity": """
id -u; id -g; id -G | wc -w; ulimit -a; ulimit -Ha
grep -E 'Cap|NoNewPrivs|Seccomp:|Sig[IBP]|Shd|Uid|Gid|Name|PPid' /proc/$$/status
cat /proc/$$/oom_score_adj; ls -l /proc/$$/fd | cut -c1-10; ps -o ni=,tty=,stat= -p $$
[ $(ps -o sid= -p $$) = $$ ] && [ $(ps -o pgid= -p $$) = $$ ] && echo leads its session
[ -r /proc/$$/mem ] && [ -O /proc/$$ ] && readlink /proc/$$/exe
""",
    "what others see of it": "ps -o comm= -p $$; ps -o args= -p $$ | sed 's/ bash$//'; pgrep -f 'others see' | wc -l",
    "locale": "x=äöü; echo ${#x} ${x^^}; printf 'b\\na\\nB\\n' | sort; locale; printf %.2f 1.5",
    "other locale": "export LC_ALL=C; x=äöü; echo ${#x}",
    "streams": "[ -t 0 ]; echo $?; cat; echo out; echo err >&2; exec 2>&1; ls /nothing",
    "exit code": "exit 7",
    "syntax error": "if then",
    "unknown command": "nothing-like-this x",
    "error in the second line": "echo one\nfalse || nothing-like-this",
    "set -e": "set -eu; echo $undefined; echo not reached",
    "signal": "kill -TERM $$; sleep 5",
    "killed": "kill -KILL $$; sleep 5",
    "trap": "trap 'echo bye' EXIT; trap 'echo term' TERM; kill -TERM $$; echo after",
    "sigpipe": "yes | head -1; echo ${PIPESTATUS[@]}",
    "replaced": "exec -a name bash -c 'echo $0 $SHLVL; env | grep -c .'",
    "subshells": "(exit 3); echo $?; x=$(echo sub); echo $x ${BASH_SUBSHELL}; cat <(echo process)",
    "job": "sleep 0.1 & wait $!; echo $? $(jobs | wc -l)",
    "here document": "cat <<'END' | tr a-z A-Z\nline $x\nEND",
    "function": "f() { local x=1; echo $FUNCNAME $x $LINENO; }; f; echo $LINENO",
    "history and completion": "history | wc -l; complete | wc -l; bind -p 2>&1 | head -1",
    "unusual bytes": "printf '%s' $'\\xff\\x01' | od -c; echo 'tab\there' \"quote'd\" \\\\",
    "the interpreter of scripts": "echo 'echo $0 $1 $SHLVL' > /tmp/s; bash /tmp/s x; source /tmp/s y; rm /tmp/s",
    "limits are those of every program": "ulimit -u; ulimit -v; ulimit -n; nproc",
    "nothing of the one that waited": "env | grep -c PRELOAD; ls /proc/self/fd | wc -l; cat /proc/self/cmdline | wc -c",
}


@under_gvisor
@pytest.mark.parametrize("name", SAME)
async def test_a_command_finds_what_it_finds_in_a_new_shell(shell: Shell, name: str, found: list[bool]) -> None:
    new, waiting = await both(shell, SAME[name])
    assert waiting.stdout == new.stdout
    assert waiting.stderr == new.stderr
    assert waiting.return_code == new.return_code
    assert found == [True]


@under_gvisor
@pytest.mark.parametrize(
    "env",
    [
        {"GREETING": "hello", "EMPTY": "", "LONG": "x" * 20_000},
        {"BASH_ENV": "/tmp/start"},
        {"SHELLOPTS": "errexit:nounset", "BASHOPTS": "nullglob"},
        {"POSIXLY_CORRECT": "1"},
        {"OMP_NUM_THREADS": "1", "TERM": "xterm", "TZ": "Asia/Tokyo", "PS4": "> "},
        {"BASH_FUNC_f%%": "() { echo imported; }"},
    ],
)
async def test_it_has_the_environment_of_the_call(shell: Shell, found: list[bool], env: dict[str, str]) -> None:
    await shell.container.write_file("/tmp/start", b"echo started by $BASH_ENV\n")
    command = (
        "env | sort | grep -v ^_=; set -o | grep -E 'posix|errexit|nounset'; shopt nullglob; date +%Z; f; set -x; :"
    )
    new, waiting = await both(shell, command, env=env)
    assert (waiting.stdout, waiting.stderr, waiting.return_code) == (new.stdout, new.stderr, new.return_code)
    assert found == [True]


@under_gvisor
async def test_it_begins_in_the_directory_of_the_call(shell: Shell, found: list[bool]) -> None:
    for cwd in ("/tmp", "/gone"):
        results = [
            await shell.container.run(["bash", "-c", "pwd; echo $PWD $OLDPWD", *name], env={}, timeout=30, cwd=cwd)
            for name in (["bash"], [])
        ]
        assert results[0].stdout == results[1].stdout
        assert results[0].stderr == results[1].stderr
    assert found == [True, True]


@under_gvisor
async def test_standard_input_is_for_the_command(shell: Shell, found: list[bool]) -> None:
    result = await shell.container.run(["bash", "-c", 'eval "$(cat)"'], env={}, timeout=30, stdin=b"echo $((6 * 7))")
    assert result.stdout.head == b"42\n"
    assert found == [True]


@under_gvisor
async def test_each_command_has_a_shell_of_its_own(shell: Shell, found: list[bool]) -> None:
    seen = []
    for _ in range(4):
        result = await shell("echo $$ $RANDOM $SECONDS ${x-unset}; x=1; cd /; umask 0; ulimit -n 64; export y=1")
        seen.append(result.stdout.head.split())
    assert len({pid for pid, *_ in seen}) == len({number for _, number, *_ in seen}) == 4
    assert all(rest == [b"0", b"unset"] for _, _, *rest in seen)
    assert found == [True] * 4


@pytest.mark.parametrize(
    ("arguments", "env", "waits"),
    [
        (["-c", "echo"], {}, True),
        (["-c", "--", "echo"], {}, True),
        (["-c", "--", "-x"], {}, True),
        (["-c", ""], {}, True),
        (["-c", "é" * 2048], {}, True),
        (["-c", "é" * 2049], {}, False),
        (["-c", "-x"], {}, False),
        (["-c", "+x"], {}, False),
        (["-lc", "echo"], {}, False),
        (["-c", "echo", "name"], {}, False),
        (["-c"], {}, False),
        ([], {}, False),
        (["script.sh"], {}, False),
        (["-c", "echo"], {"LD_PRELOAD": "/tmp/x.so"}, False),
        (["-c", "echo"], {"LC_ALL": "C"}, False),
        (["-c", "echo"], {"PATH": "/tmp"}, False),
        (["-c", "echo"], {"LC_CTYPE": "C.UTF-8", "A": "b"}, True),
    ],
)
async def test_only_commands_that_find_no_difference_are_given_to_it(
    arguments: list[str], env: dict[str, str], waits: bool
) -> None:
    assert (suits(["bash", *arguments], env, b"") is Interpreter.SHELL) is waits


@under_gvisor
async def test_one_that_was_killed_is_replaced(shell: Shell, found: list[bool]) -> None:
    await shell("kill -KILL -1; pkill -KILL bash")
    assert await shell.output("echo again") == "again\n"
    assert found == [True, True]


@under_gvisor
async def test_the_time_limit_holds_for_it(shell: Shell, found: list[bool]) -> None:
    result = await shell.container.run(["bash", "-c", "trap '' TERM; sleep 60 & sleep 60"], env={}, timeout=0.3)
    assert result.timed_out
    assert await shell.output("pgrep sleep | wc -l") == "0\n"
    assert found == [True, True]


@under_gvisor
async def test_it_still_waits_after_sleep(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(host, await host.create(new_name()))
    try:
        await shell("sleep 600 > /dev/null 2>&1 &")
        async with asyncio.timeout(30):
            while not await host.sleep(shell.container.id):  # noqa: ASYNC110 -- it may be busy
                await asyncio.sleep(0.05)
        assert shell.container.state is State.ASLEEP
        assert await shell.output("pgrep -c sleep") == "1\n"
        found = finding(shell, monkeypatch)
        assert await shell.output("echo $((6 * 7))") == "42\n"
        assert found == [True]
    finally:
        await host.delete(shell.container.id)
