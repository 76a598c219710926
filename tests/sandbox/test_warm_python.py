"""A program in the warm interpreter finds what it finds in a new one: each of these runs in both."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codecove.sandbox.frames import Interpreter
from codecove.sandbox.host import Execution
from codecove.sandbox.local import LocalHost
from codecove.sandbox.warm import suits
from tests.sandbox.hosts import Shell, new_name

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

MENTION = "# pandas\n"
"""Enough to be run in the warm interpreter."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shell(host: LocalHost) -> AsyncIterator[Shell]:
    """A container that has a warm interpreter."""
    shell = Shell(host, await host.create(new_name()))
    await make_warm(shell)
    yield shell
    await host.delete(shell.container.id)


async def make_warm(shell: Shell) -> None:
    await shell.python(MENTION)
    async with asyncio.timeout(30):
        while not await is_warm(shell):  # noqa: ASYNC110 -- it says so only to a program
            await asyncio.sleep(0.05)


async def is_warm(shell: Shell) -> bool:
    """What the agent starts itself has the agent as its parent."""
    result = await shell.python(MENTION + "import os; print(os.getppid() != 1)")
    assert result.return_code == 0, result
    return result.stdout.head == b"True\n"


async def both(
    shell: Shell, *arguments: str, stdin: bytes = b"", timeout: float = 30, env: dict[str, str] | None = None
) -> tuple[Execution, Execution]:
    """In a new interpreter and in the warm one. The full path is that of the same program, and always a new process."""
    new, warm = [
        await shell.container.run([python, *arguments], env=env or {}, timeout=timeout, stdin=stdin)
        for python in ("/usr/bin/python3", "python3")
    ]
    return new, warm


SAME = {
    "arguments": "import sys; print(sys.argv, sys.orig_argv[1:], sys.executable, sys.flags, sys.path, sys.prefix)",
    "main": "print({k: v for k, v in globals().items() if k != '__builtins__'}, __builtins__)",
    "modules": "import sys; print(sorted(sys.modules))",
    "modules after an import": "import json, sys; print(json is sys.modules['json'], json.__spec__.origin)",
    "no pandas before it is imported": """
import sys
assert 'numpy' not in sys.modules
try: numpy
except NameError as error: print(error)
import numpy, datetime, decimal
print('numpy.linalg' in sys.modules, 'pandas' in sys.modules, numpy.__spec__.name, numpy.float64(decimal.Decimal(1)))
import pandas
print(isinstance(pandas.Timestamp(0), datetime.datetime), pandas.core.frame.DataFrame, sys.modules['pandas.core.frame'])
import importlib; print(importlib.reload(json := importlib.import_module('json')) is json)
""",
    "environment": """
import os, subprocess
print(sorted(os.environ.items()), os.getcwd(), os.umask(0))
print(subprocess.run(['env'], capture_output=True, text=True).stdout.count('PYTHON'))
""",
    "identity": """
import os, resource
print(os.getresuid(), os.getresgid(), len(os.getgroups()), os.getpid() == os.getsid(0) == os.getpgrp())
print([resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT')])
wanted = ('Cap', 'NoNewPrivs', 'Seccomp:', 'SigI', 'SigB', 'SigP', 'Shd', 'Uid', 'Gid', 'Name')
print([line for line in open('/proc/self/status') if line.startswith(wanted) and not line.startswith('SigQ')])
print(open('/proc/self/oom_score_adj').read(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
print(sorted(os.listdir('/proc/self/fd')))
print(os.access('/proc/self/mem', os.R_OK), os.access('/proc/self/environ', os.R_OK))
""",
    "streams": """
import sys
for s in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__):
    print(s, s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, s.isatty(), s.seekable(), s.fileno())
    print(s.buffer, s.buffer.raw, s.buffer.raw.closefd)
sys.stderr.write('to stderr\\n')
""",
    "signals": """
import signal
print([(s, signal.getsignal(s)) for s in signal.valid_signals()], signal.pthread_sigmask(0, []))
""",
    "hooks": """
import sys, builtins, gc, warnings, threading
print(sys.excepthook, sys.displayhook, sys.getrecursionlimit(), gc.get_threshold(), gc.isenabled())
print(sys.getswitchinterval(), threading.active_count(), threading.main_thread() is threading.current_thread())
print(builtins.__import__, sorted(dir(builtins)), sys.gettrace(), sys.getprofile())
""",
    "uncaught error": "def f():\n    1/0\nimport json\njson.loads('{')\nf()",
    "syntax error": "x = = 1",
    "chained error": "try:\n    1/0\nexcept Exception as e:\n    raise KeyError('k') from e",
    "own excepthook": "import sys\nsys.excepthook = lambda *a: print(a[0], a[2].tb_lineno)\n1/0",
    "exit code": "import sys; sys.exit(7)",
    "exit code too big": "raise SystemExit(257 + 2**40)",
    "exit negative": "raise SystemExit(-1)",
    "exit text": "import sys; sys.exit('no more')",
    "exit object": "raise SystemExit((1, 2))",
    "at the end": """
import atexit, sys
class Last:
    def __del__(self): print('deleted', sys is None)
last = Last()
cycle = [Last()]; cycle.append(cycle)
atexit.register(print, 'one'); atexit.register(print, 'two')
class Failing:
    def __repr__(self): return 'failing'
    def __call__(self): 1/0
atexit.register(Failing())
file = open('/tmp/not-closed', 'w'); file.write('x' * 10)
print('end of program')
""",
    "what was not closed": "print(open('/tmp/not-closed').read())",
    "thread that outlives main": """
import threading, time
def late():
    time.sleep(0.1); print('late')
threading.Thread(target=late).start()
print('main is over')
""",
    "thread pool at the end": """
from concurrent.futures import ThreadPoolExecutor
import time
ThreadPoolExecutor(2).submit(lambda: (time.sleep(0.1), print('done')))
""",
    "sigterm": "import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGTERM)",
    "sigkill": "import os; print(1, flush=True); os.kill(os.getpid(), 9)",
    "sigint": "import os, signal, time; print(1); os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
    "sigpipe": "import os, signal; r, w = os.pipe(); os.close(r); signal.signal(13, 0); os.write(w, b'x')",
    "closed stdout": "import sys, os; os.close(1); print('lost')",
    "abort": "import os; os.abort()",
    "subprocess": """
import subprocess, sys
print(subprocess.run([sys.executable, '-c', 'print(2)'], capture_output=True))
""",
    "fork": """
import os, sys
pid = os.fork()
if pid == 0: print('child', flush=True); os._exit(3)
print(os.waitpid(pid, 0)[1])
try: os.wait()
except ChildProcessError as error: print(error)
""",
    "multiprocessing": """
import multiprocessing, os
with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))
print(len(multiprocessing.current_process().authkey))
""",
    "pickle": "import pickle\nclass A: pass\nprint(pickle.loads(pickle.dumps(A())).__class__, A.__module__)",
    "memory error": "x = bytearray(2 << 30)",
    "recursion": "def f(): f()\ntry: f()\nexcept RecursionError as error: print(error)",
    "matplotlib": """
import matplotlib
print(matplotlib.get_configdir(), matplotlib.get_backend(), matplotlib.matplotlib_fname())
""",
    "time zone": "import time; print(time.tzname, time.localtime(0))",
    "temporary files": "import tempfile; print(tempfile.gettempdir())",
}


# The interpreter that waits is the same program everywhere. With the host's kernel below it the rest of this file holds
# in `make test` too, and the whole comparison in `make soak`.
under_gvisor = pytest.mark.parametrize(
    "host", ["runsc", *(pytest.param(name, marks=pytest.mark.soak) for name in ("crun", "runc"))], indirect=True
)


@under_gvisor
@pytest.mark.parametrize("name", SAME)
async def test_a_program_finds_what_it_finds_in_a_new_interpreter(shell: Shell, name: str) -> None:
    new, warm = await both(shell, "-c", MENTION + SAME[name])
    assert warm.stdout == new.stdout
    assert warm.stderr == new.stderr
    assert warm.return_code == new.return_code


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain_shell(host: LocalHost) -> AsyncIterator[Shell]:
    """A container in which no program has used the libraries."""
    shell = Shell(host, await host.create(new_name()))
    yield shell
    await host.delete(shell.container.id)


async def waits(shell: Shell) -> None:
    """Returns when an interpreter without libraries waits for the next program."""
    warmth = shell.container._warmth
    assert warmth is not None
    while True:
        if not warmth.is_starting:
            if warmth._waiting[Interpreter.PLAIN].is_on:
                return
            await shell.python("")
        await asyncio.sleep(0.01)


@under_gvisor
@pytest.mark.parametrize("name", [name for name, code in SAME.items() if suits(["python3", "-c", code], {}, b"") == 1])
async def test_a_program_finds_the_same_in_an_interpreter_that_has_only_waited(
    plain_shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waits(plain_shell)
    warmth, cold = plain_shell.container._warmth, []
    assert warmth is not None
    original = warmth.used

    def used(kind: Interpreter, **found: bool) -> None:
        cold.append(found["cold"])
        original(kind, **found)

    monkeypatch.setattr(warmth, "used", used)
    new, waiting = await both(plain_shell, "-c", SAME[name])
    assert (waiting.stdout, waiting.stderr, waiting.return_code) == (new.stdout, new.stderr, new.return_code)
    assert cold == [False]


async def test_a_program_leaves_nothing_for_the_next_that_has_waited(plain_shell: Shell) -> None:
    program = "import builtins, os, random; print(hasattr(builtins, 'x'), os.getpid(), hash('a'), random.random())"
    program += "; builtins.x = 1"
    seen = []
    for _ in range(2):
        await waits(plain_shell)
        seen.append((await plain_shell.python(program)).stdout.head.split())
    assert seen[0][0] == seen[1][0] == b"False"
    assert all(one != other for one, other in zip(seen[0][1:], seen[1][1:], strict=True))


async def test_a_script_finds_what_it_finds_in_a_new_interpreter(shell: Shell) -> None:
    script = """
import sys, pickle, multiprocessing, local_module
print(__name__, __file__, __spec__, __loader__.__class__, __cached__, sys.argv, sys.path, local_module.__file__)
def square(x): return x * x
if __name__ == '__main__':
    pool = multiprocessing.get_context('spawn').Pool(1)
    print(pool.map(square, [3]))
    pool.close(), pool.join()
    square('x')
"""
    await shell.container.write_file("/tmp/place/script.py", script.encode())
    await shell.container.write_file("/tmp/place/local_module.py", b"")
    await shell.output("ln -sf /tmp/place/script.py /workspace/link.py")
    for path in ("/tmp/place/script.py", "../tmp/place/script.py", "link.py"):
        new, warm = await both(shell, path, "one", "two")
        assert (warm.stdout, warm.stderr, warm.return_code) == (new.stdout, new.stderr, new.return_code)
        assert b"[9]" in warm.stdout.head
    await shell.output("rm -r /tmp/place link.py")


@pytest.mark.parametrize("name", ["streams", "closed stdout", "uncaught error", "exit text", "subprocess"])
async def test_streams_are_not_buffered_if_the_environment_says_so(shell: Shell, name: str) -> None:
    new, warm = await both(shell, "-c", MENTION + SAME[name], env={"PYTHONUNBUFFERED": "1"})
    assert (warm.stdout, warm.stderr, warm.return_code) == (new.stdout, new.stderr, new.return_code)


async def test_what_was_printed_unbuffered_is_there_when_it_is_killed(shell: Shell) -> None:
    program = MENTION + "import os; print('here'); os.kill(os.getpid(), 9)"
    for env, printed in (({"PYTHONUNBUFFERED": "1"}, b"here\n"), ({"PYTHONUNBUFFERED": ""}, b"")):
        new, warm = await both(shell, "-c", program, env=env)
        assert new.stdout.head == warm.stdout.head == printed


@pytest.mark.parametrize(
    "arguments", [[], ["-"], ["-", "x"], ["-c", MENTION], ["-c"], ["missing.py"], ["/tmp"], ["-m", "json.tool"], ["-V"]]
)
async def test_any_other_way_to_call_it(shell: Shell, arguments: list[str]) -> None:
    new, warm = await both(shell, *arguments, stdin=b"# pandas\nimport sys; print(sys.argv, __name__); oops\n")
    assert warm.stdout == new.stdout
    assert warm.stderr.head.replace(b"/usr/bin/", b"") == new.stderr.head.replace(b"/usr/bin/", b"")
    assert warm.return_code == new.return_code


async def test_standard_input_is_for_the_program(shell: Shell) -> None:
    program = MENTION + "import sys; print(sys.stdin.readline(), len(sys.stdin.buffer.read()))"
    new, warm = await both(shell, "-c", program, stdin=b"first\n" + b"x" * 200_000)
    assert warm.stdout == new.stdout


async def test_what_is_random_is_so_each_time(shell: Shell) -> None:
    program = "import os, pandas, random, numpy, uuid, tempfile, secrets; print(random.random(), numpy.random.rand(), "
    program += "numpy.random.default_rng().random(), uuid.uuid4(), tempfile.mktemp(), secrets.token_hex(), os.getpid())"
    results = [(await shell.python(program)).stdout.head.split() for _ in range(2)]
    assert all(one != other for one, other in zip(*results, strict=True)), results


async def test_nothing_is_left_for_the_next_program(shell: Shell) -> None:
    await shell.python(
        "import os, sys, builtins, pandas; pandas.leak = builtins.leak = 1; os.environ['LEAK'] = '1'; os.umask(0o77)\n"
        "pandas.set_option('display.max_rows', 7); sys.path.append('/leak'); os.chdir('/')"
    )
    program = (
        "import os, sys, builtins, pandas; print(hasattr(pandas, 'leak'), hasattr(builtins, 'leak'), os.getcwd(), "
    )
    program += "os.environ.get('LEAK'), pandas.get_option('display.max_rows'), '/leak' in sys.path, os.umask(0))"
    assert (await shell.python(program)).stdout.head == b"False False /workspace None 60 False 18\n"


async def test_a_file_named_like_a_module_is_found_first(shell: Shell) -> None:
    await shell.container.write_file("/workspace/six.py", b"print('mine')")
    await shell.container.write_file("/workspace/calendar.py", b"print('mine too')")
    new, warm = await both(shell, "-c", MENTION + "import calendar")
    assert warm.stdout.head == new.stdout.head == b"mine too\n"
    await shell.output("rm six.py calendar.py; mkdir -p lib; echo \"print('my own')\" > lib/calendar.py")
    new, warm = await both(shell, "-c", MENTION + "import sys; sys.path.insert(0, 'lib'); import calendar")
    assert warm.stdout.head == new.stdout.head == b"my own\n"
    await shell.output("rm -r lib")


async def test_packages_of_the_user_come_first(shell: Shell) -> None:
    await shell.output("d=$(python3 -m site --user-site); mkdir -p $d; echo \"print('mine')\" > $d/pandas.py")
    new, warm = await both(shell, "-c", "import pandas")
    assert warm.stdout.head == new.stdout.head == b"mine\n"
    await shell.output("rm -r ~/.local")


async def test_the_time_limit_holds_also_at_once(shell: Shell) -> None:
    for timeout in (0.001, 0.02, 0.5):
        result = await shell.python("import pandas, os\nos.fork()\nwhile True: pass", timeout=timeout)
        assert result.timed_out
    assert await shell.processes() == []
    await make_warm(shell)


async def test_what_it_leaves_in_the_background_runs_on(shell: Shell) -> None:
    program = "import pandas, subprocess; print(subprocess.Popen(['sleep', '71']).pid)"
    assert (await shell.python(program)).return_code == 0
    assert await shell.processes() == ["sleep 71"]
    await shell("pkill sleep")


async def test_too_much_memory_ends_the_program_alone(shell: Shell) -> None:
    program = "import pandas\nlist_ = []\nwhile True: list_.append(bytearray(b'x') * (4 << 20))"
    result = await shell.python(program)
    assert result.return_code in (1, 137)
    await make_warm(shell)


async def test_a_program_lives_on_when_what_it_was_forked_from_ends(own_shell: Shell) -> None:
    program = (
        MENTION
        + """
import os, time
print(os.getppid())
open('began', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
os.remove('began'), os.remove('go')
print(os.getppid())
"""
    )
    parents = ["1"]
    while parents[0] == "1":  # it found no fork, and was started by the agent
        await make_warm(own_shell)
        running = asyncio.create_task(own_shell.python(program))
        while not (await own_shell.container.list_directory("/workspace", limit=10)).entries:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await own_shell.container.end_warm_interpreter()
        await own_shell.container.write_file("/workspace/go", b"")
        parents = (await running).stdout.head.decode().split()
    assert parents[1] == "1"


async def test_it_does_not_sleep_with_its_container_and_comes_back(own_shell: Shell) -> None:
    await make_warm(own_shell)
    await sleep_without_it(own_shell)  # nor with the fork that is still being made
    assert (await own_shell.python("import pandas; print(1)")).stdout.head == b"1\n"
    await make_warm(own_shell)
    await asyncio.sleep(1.3)
    await sleep_without_it(own_shell)  # nor with one that waits


async def sleep_without_it(shell: Shell) -> None:
    assert await shell.host.sleep(shell.container.id)
    kept = shell.host._residents[shell.container.id]._site.checkpoint_directory
    assert sum(path.stat().st_size for path in kept.glob("*")) < 2 * 2**20


@pytest.mark.parametrize(
    ("argv", "env", "stdin", "expected"),
    [
        (["python3", "-c", "import pandas"], {}, b"", Interpreter.WITH_LIBRARIES),
        (["python3", "-c", "print(1)"], {}, b"", Interpreter.PLAIN),
        (["python3", "-c", "exec(input())"], {}, b"import numpy as np", Interpreter.WITH_LIBRARIES),
        (["python3"], {}, b"from matplotlib import pyplot", Interpreter.WITH_LIBRARIES),
        (["python3", "-"], {}, b"print(1)", Interpreter.PLAIN),
        (["python3", "x.py", "-v"], {}, b"", Interpreter.WITH_LIBRARIES),
        (["python3", "-m", "pandas"], {}, b"", None),
        (["python3", "-I", "-c", "import pandas"], {}, b"", None),
        (["python", "-c", "import pandas"], {}, b"", None),
        (["sh", "-c", "python3 -c 'import pandas'"], {}, b"", None),
        (["python3", "-c", "import pandas"], {"OUTPUT_DIR": "/x", "TZ": "Asia/Tokyo"}, b"", Interpreter.WITH_LIBRARIES),
        (["python3", "-c", "import pandas"], {"PYTHONHASHSEED": "0"}, b"", None),
        (["python3", "-c", "import pandas"], {"LD_PRELOAD": "x.so"}, b"", None),
        (["python3", "-c", "import pandas"], {"MPLBACKEND": "svg"}, b"", None),
        (["python3", "-c", "import pandas"], {"MPLBACKEND": "Agg"}, b"", Interpreter.WITH_LIBRARIES),
        (["python3", "-c", "import pandas"], {"HOME": "/tmp"}, b"", None),
    ],
)
async def test_only_programs_that_gain_by_it_are_run_warm(
    argv: list[str], env: dict[str, str], stdin: bytes, expected: Interpreter | None
) -> None:
    assert suits(argv, env, stdin) is expected
