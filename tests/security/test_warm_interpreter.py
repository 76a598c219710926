"""The warm interpreter, which has a right of root's, can't be signalled, traced, read, starved or talked to."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import Shell, new_name
from tests.sandbox.test_warm_python import make_warm

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shell(host: LocalHost) -> AsyncIterator[Shell]:
    shell = Shell(host, await host.create(new_name()))
    await make_warm(shell)
    yield shell
    await host.delete(shell.container.id)


PROCESSES = """
import os, time
def read(pid):
    try: return open(f'/proc/{pid}/status').read()
    except OSError: return ''
for _ in range(100):  # the next fork may still be on its way
    pids = [pid for pid in os.listdir('/proc') if pid.isdigit()]
    theirs = [int(pid) for pid in pids if 'Uid:\\t19999\\t1000\\t19999' in read(pid)]
    if len(theirs) == 2: break
    time.sleep(0.1)
assert len(theirs) == 2, theirs
def attempt(function, *arguments):
    try: function(*arguments)
    except OSError: return
    print('reached', function, arguments)
"""
"""In a cold interpreter, so that there is the one that forks and the fork that waits."""


TRACING = """
import ctypes
libc = ctypes.CDLL(None)
buffer = (ctypes.c_char * 8)()
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
ours, them = Vector(ctypes.addressof(buffer), 8), Vector(0x400000, 8)
for pid in theirs:
    assert libc.ptrace(16, pid, None, None) == -1
    assert libc.ptrace(0x4206, pid, None, None) == -1
    assert libc.process_vm_readv(pid, ctypes.byref(ours), 1, ctypes.byref(them), 1, 0) == -1
    assert libc.process_vm_writev(pid, ctypes.byref(ours), 1, ctypes.byref(them), 1, 0) == -1
    assert libc.syscall(438, libc.syscall(434, pid, 0), 3, 0) == -1  # pidfd_getfd
"""
"""Every way to trace or read a process, for each of `theirs`."""


async def attack(shell: Shell, program: str) -> None:
    await make_warm(shell)
    result = await shell.container.run(["/usr/bin/python3", "-c", PROCESSES + program], env={}, timeout=30)
    assert (result.stdout.head, result.stderr.head, result.return_code) == (b"", b"", 0)
    await make_warm(shell)


async def test_it_cannot_be_signalled(shell: Shell) -> None:
    await attack(
        shell, "for pid in theirs:\n    for number in (9, 15, 19, 18, 2, 1, 17, 33): attempt(os.kill, pid, number)"
    )
    await shell("kill -KILL -1; kill -STOP -1")
    await make_warm(shell)


async def test_it_cannot_be_traced(shell: Shell) -> None:
    await attack(shell, TRACING)


async def test_its_memory_and_sockets_cannot_be_opened(shell: Shell) -> None:
    await attack(
        shell,
        """
for pid in theirs:
    for name in ('mem', 'exe', 'fd/3', 'cwd', 'root', 'root/.codecove/warm.py'):
        attempt(os.open, f'/proc/{pid}/{name}', os.O_RDONLY)
        attempt(os.open, f'/proc/{pid}/{name}', os.O_RDWR)
    attempt(open, f'/proc/{pid}/oom_score_adj', 'w')
""",
    )


async def test_its_limits_cannot_be_changed(shell: Shell) -> None:
    await attack(
        shell,
        "import resource\nfor pid in theirs: attempt(resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1))",
    )


async def test_when_it_is_rescheduled_another_takes_over(shell: Shell) -> None:
    program = """
for pid in theirs:
    try: os.setpriority(os.PRIO_PROCESS, pid, 19)
    except OSError: pass
"""
    await make_warm(shell)
    await shell.container.run(["/usr/bin/python3", "-c", PROCESSES + program], env={}, timeout=30)
    await shell.python("import pandas")
    await make_warm(shell)
    priority = "import os, pandas; print(os.getpriority(os.PRIO_PROCESS, 0))"
    assert (await shell.python(priority)).stdout.head.decode() == await shell.output("nice")


async def test_a_program_in_it_has_no_right_and_no_socket_of_its(shell: Shell) -> None:
    program = """
import os, pandas
print(sorted(os.listdir('/proc/self/fd')))
for call in (lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0), lambda: os.setresgid(0, 0, 0),
             lambda: os.setresuid(19999, 1000, 19999), lambda: os.kill(os.getppid(), 9), lambda: os.kill(1, 9),
             lambda: open('/.codecove/warm.py')):
    try: call(); print('reached')
    except OSError: pass
"""
    await make_warm(shell)
    assert (await shell.python(program)).stdout.head == b"['0', '1', '2', '3']\n"


async def test_a_crowd_of_processes_does_not_keep_the_next_program_waiting(shell: Shell) -> None:
    await make_warm(shell)
    await shell("for i in $(seq 5); do (while :; do :; done) & done", timeout=10)
    result = await shell.python("import pandas; print(1)", timeout=60)
    assert result.stdout.head == b"1\n"
    await shell("pkill -KILL -U user bash")
    await make_warm(shell)
