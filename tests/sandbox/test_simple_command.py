"""A command that is nothing but a call of Python finds in the Python that waits what it finds below a shell."""

import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from codecove.sandbox.frames import Interpreter
from codecove.sandbox.local import LocalHost
from codecove.sandbox.simple_command import Call, without_shell
from codecove.sandbox.warm import suited
from tests.sandbox.hosts import Shell, new_name
from tests.sandbox.test_warm_python import make_warm

SHOW = "import os, sys; print(sys.argv, sys.orig_argv, sorted(os.environ.items()), os.getcwd(), repr(sys.stdin.read()))"

SIMPLE = {
    "a script": "python3 script.py",
    "a script with arguments": "python3 ./script.py --name=x 'two words' \"it's\" a'b'\"c\" '' \"\"",
    "a string": f"python3 -c '{SHOW}'",
    "a string of several lines": f"python3 -c '\n{SHOW}\nprint(1)\n' one",
    "a quoted here-document": f"python3 - one <<'EOF'\n{SHOW}\nprint('$HOME', `1`) if 0 else None\nEOF\n",
    "a here-document": f"\n  python3 <<EOF\n{SHOW}\nEOF",
    "a here-document with a double-quoted end": f'python3 << "END_1"\n{SHOW}\nprint("\\n$x\\\\")\nEND_1\n\n',
    "an empty here-document": "python3 <<'EOF'\nEOF",
    "no arguments": "python3",
    "a missing script": "python3 missing.py",
    "an unknown option": "python3 --nonsense",
    "an exit code": "python3 -c 'raise SystemExit(7)'",
    "an uncaught error": "python3 <<'EOF'\ndef f():\n    1/0\nf()\nEOF",
    "a syntax error": "python3 -c 'x = = 1'",
    "a signal": "python3 -c 'import os; os.kill(os.getpid(), 9)'",
    "standard error": "python3 -c 'import sys; print(1, file=sys.stderr)'",
    "background": 'python3 -c \'import subprocess; subprocess.Popen(["sleep", "0.1"])\'',
    "pandas": "python3 <<'EOF'\nimport pandas\nprint(pandas.Series([1, 2]).sum(), __name__, __builtins__)\nEOF",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shell(host: LocalHost) -> AsyncIterator[Shell]:
    shell = Shell(host, await host.create(new_name()))
    await make_warm(shell)
    await shell.container.write_file("/workspace/script.py", SHOW.encode())
    yield shell
    await host.delete(shell.container.id)


@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", SIMPLE)
async def test_it_finds_what_it_finds_below_a_shell(shell: Shell, name: str) -> None:
    command = SIMPLE[name]
    # With a name given to it, it is always a shell.
    below, direct = [
        await shell.container.run(["bash", "-c", "--", command, *given], env={"A": "b"}, timeout=30)
        for given in (["bash"], [])
    ]
    assert direct.stdout == below.stdout
    assert direct.stderr == below.stderr
    assert direct.return_code == below.return_code


@pytest.mark.sandbox
@pytest.mark.asyncio(loop_scope="session")
async def test_it_is_run_where_the_libraries_are_loaded(shell: Shell) -> None:
    await make_warm(shell)
    command = "python3 - <<'EOF'\nimport os, pandas\nprint(os.getppid() != 1)\nEOF"
    async with asyncio.timeout(30):
        while await shell.output(command) != "True\n":  # noqa: ASYNC110 -- on a busy machine the next may not be ready
            await asyncio.sleep(0.1)


SHELL_ONLY = [
    "python3 x.py; ls",
    "python3 x.py && ls",
    "python3 x.py | head",
    "python3 x.py > out",
    "python3 x.py 2>&1",
    "python3 < x.py",
    "python3 x.py &",
    "python3 $x",
    "python3 `x`",
    'python3 "$x"',
    'python3 "`x`"',
    'python3 "a\\"b"',
    "python3 a\\ b",
    "python3 *.py",
    "python3 [ab].py",
    "python3 {a,b}.py",
    "python3 ~/x.py",
    "python3 x.py # comment",
    "python3 x.py\nls",
    "python3 x.py\n ",
    "python3 'unfinished",
    "python3 unfinished'",
    'python3 unfinished"',
    "python3 -c 'print(\"it's\")'",
    "python3 'a'b\"",
    "python3'' x.py",
    "python3 !!",
    "(python3 x.py)",
    "X=1 python3 x.py",
    "exec python3 x.py",
    "cd /tmp && python3 x.py",
    "python3.11 x.py",
    "/usr/bin/python3 x.py",
    "python3\u00a0x.py",
    "python3 x.py\r\n",
    "python3 <<EOF\n$x\nEOF",
    "python3 <<EOF\n`x`\nEOF",
    "python3 <<EOF\n'\\n'\nEOF",
    "python3 <<'EOF'\nprint(1)",
    "python3 <<'EOF'\nprint(1)\n EOF",
    "python3 <<'EOF'\nprint(1)\nEOF\nls",
    "python3 <<-EOF\n\tprint(1)\n\tEOF",
    "python3 <<<'print(1)'",
    "python3 2<<EOF\nEOF",
    "python3 x.py 0<<'EOF'\nEOF",
    "python3 <<EOF\nEOF ",
    "python3 <<'EOF'\nprint(1)\nEOF\t",
    "python3 <<'EOF'\n\0\nEOF",
    "python3 'a\0b'",
    "python3 <<'EOF' | cat\nprint(1)\nEOF",
    "python3 <<'EOF' x\nprint(1)\nEOF",
    "echo python3",
    "",
]


@pytest.mark.parametrize("command", SHELL_ONLY)
def test_anything_else_is_left_to_the_shell(command: str) -> None:
    assert without_shell(Call(["bash", "-c", "--", command], {}, b""), "/workspace") is None


WORDS = [
    "a",
    "1",
    "0",
    "x.py",
    "'q r'",
    '"d"',
    "''",
    "'",
    '"',
    "'\"'",
    "a'b'\"c\"",
    "\\",
    "$x",
    "#",
    "=",
    "é",
    "'\1\x7f'",
]
BLANKS = ["", " ", "\t", "\n", " \n", "\r"]


def some_command(choice: Callable[[Sequence[str]], str]) -> str:
    """Of pieces that fit together more often than not."""
    words = "".join(choice([" ", " ", "\t", ""]) + choice(WORDS) for _ in range(int(choice("0012"))))
    end = choice(["E", "'E'", '"E"', "0", ""])
    if not end:
        return f"python3{words}{choice(BLANKS)}"
    lines = "".join(choice(["x", " ", "\n", "'", "\\", "$", "E"]) for _ in range(int(choice("0123"))))
    here = f"{choice(BLANKS)}<<{choice(['', ' ', '-'])}{end}{choice(['', ' '])}\n"
    return f"python3{words}{here}{lines}\n{end.strip(chr(34) + chr(39))}{choice(BLANKS)}"


def test_bash_itself_makes_the_same_of_it(tmp_path: Path) -> None:
    program = tmp_path / "python3"
    program.write_text("#!/bin/bash\nprintf '%s\\0' \"$@\"; cat\n")
    program.chmod(0o755)
    choice, taken = random.Random(1).choice, 0
    for _ in range(1000):
        command = some_command(choice)
        call = without_shell(Call(["bash", "-c", command], {}, b""), "/workspace")
        if call is None:
            continue
        taken += 1
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        shell = ["/bin/bash", "-c", command]
        said = subprocess.run(shell, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        # Without arguments `printf` writes one that is empty.
        expected = "".join(f"{argument}\0" for argument in call.argv[1:] or [""]).encode() + call.stdin
        assert (said.stdout, said.stderr, said.returncode) == (expected, b"", 0), command
    assert taken > 100


@pytest.mark.parametrize(
    "name",
    ["BASH_ENV", "BASH_FUNC_python3%%", "PATH", "IFS", "SHELLOPTS", "POSIXLY_CORRECT", "_", "RANDOM", "EPOCHREALTIME"],
)
def test_an_environment_that_bash_reads_is_left_to_the_shell(name: str) -> None:
    assert without_shell(Call(["bash", "-c", "python3 x.py"], {name: "x"}, b""), "/workspace") is None


@pytest.mark.parametrize(
    "argv", [["bash", "-lc", "python3 x"], ["sh", "-c", "python3 x"], ["bash", "-c", "python3 x", "y"]]
)
def test_another_call_of_a_shell_is_left_to_it(argv: list[str]) -> None:
    assert without_shell(Call(argv, {}, b""), "/workspace") is None


def test_what_no_python_waits_for_is_left_to_the_shell() -> None:
    call = Call(["bash", "-c", "python3 -m json.tool x"], {}, b"")
    assert suited(call, "/workspace") == (call, Interpreter.SHELL)


def test_standard_input_is_left_to_the_shell() -> None:
    assert without_shell(Call(["bash", "-c", "python3"], {}, b"print(1)"), "/workspace") is None


@pytest.mark.parametrize("unit", ["a", "a ", "'a", "\"a' ", " ", "\n", "'a' ", "<<E\n", "'"])
def test_no_command_takes_long_to_look_at(unit: str) -> None:
    def took(length: int) -> float:
        call = Call(["bash", "-c", f"python3 {unit * (length // len(unit))};"], {}, b"")
        began = time.perf_counter()
        without_shell(call, "/workspace")
        return time.perf_counter() - began

    took(1 << 12)
    assert min(took(1 << 16) for _ in range(3)) < 64 * max(min(took(1 << 12) for _ in range(3)), 1e-4)
