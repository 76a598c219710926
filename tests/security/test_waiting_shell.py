"""The bash that waits, as root, can't be signalled, traced, read, starved or talked to."""

import pytest

from tests.sandbox.hosts import Shell
from tests.security.test_warm_interpreter import TRACING

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("host", ["runsc"], indirect=True),
]

ATTACK = r"""
import os, resource
theirs = [int(pid) for pid in os.listdir('/proc') if pid.isdigit() and pid != '1'
          and open(f'/proc/{pid}/status').read().count('Uid:\t0\t0\t0\t0')]
assert len(theirs) == 1, theirs
assert os.stat(f'/proc/{theirs[0]}').st_uid == 0
def attempt(function, *arguments):
    try: function(*arguments)
    except OSError: return
    print('reached', function, arguments)
for pid in theirs:
    for number in (9, 15, 19, 18, 2, 1, 17, 33): attempt(os.kill, pid, number)
    for name in ('mem', 'exe', 'fd/3', 'cwd', 'root'):
        attempt(os.open, f'/proc/{pid}/{name}', os.O_RDONLY)
        attempt(os.open, f'/proc/{pid}/{name}', os.O_RDWR)
    attempt(open, f'/proc/{pid}/oom_score_adj', 'w')
    attempt(resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1))
attempt(open, '/.codecove/waiting.so')
"""


async def test_it_cannot_be_reached(shell: Shell) -> None:
    await shell("true")
    result = await shell.container.run(["/usr/bin/python3", "-c", ATTACK + TRACING], env={}, timeout=30)
    assert (result.stdout.head, result.stderr.head, result.return_code) == (b"", b"", 0)


async def test_when_it_is_rescheduled_the_next_command_is_not(shell: Shell) -> None:
    look = "import os; print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))"
    before = await shell.output(f"python3 -c '{look}'")
    change = """
import os
for pid in [int(pid) for pid in os.listdir('/proc') if pid.isdigit() and pid != '1']:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, 19)
        os.sched_setaffinity(pid, {0})
    except OSError: pass
"""
    await shell.container.run(["/usr/bin/python3", "-c", change], env={}, timeout=30)
    assert await shell.output(f"python3 -c '{look}'") == before


async def test_a_command_in_it_has_no_right_and_no_socket_of_its(shell: Shell) -> None:
    command = """
ls /proc/$$/fd | wc -l; id -u; id -G | wc -w; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/$$/status | grep -vc 0000000000000000
kill -KILL 1; kill -KILL $PPID; cat /.codecove/waiting.so; ls /.codecove
"""
    result = await shell(command)
    assert result.stdout.head.split() == [b"3", b"1000", b"2", b"0"]
    assert result.stderr.head.count(b"not permitted") == 2
    assert result.stderr.head.count(b"Permission denied") == 2


async def test_a_preloaded_library_of_the_user_is_not_loaded_into_it(shell: Shell) -> None:
    source = "#include <unistd.h>\n__attribute__((constructor)) static void x(void) { if (getuid() == 0) _exit(9); }"
    await shell("cat > /tmp/x.c && gcc -shared -fPIC -o /tmp/x.so /tmp/x.c", stdin=source.encode())
    await shell("echo /tmp/x.so > /etc/ld.so.preload; export LD_PRELOAD=/tmp/x.so LD_LIBRARY_PATH=/tmp; exit 0")
    assert await shell.output("echo $LD_PRELOAD; rm -f /tmp/x.*") == "\n"


async def test_a_crowd_of_processes_does_not_keep_the_next_command_waiting(shell: Shell) -> None:
    await shell("for i in $(seq 120); do sleep 600 & done > /dev/null 2>&1")
    assert await shell.output("echo here") == "here\n"
    await shell("pkill -KILL sleep")


async def test_stopped_by_a_limit_it_goes_on(shell: Shell) -> None:
    """What the agent stops for a moment, to count or to kill, includes it."""
    result = await shell.container.run(["bash", "-c", "sleep 60 & sleep 60 & wait"], env={}, timeout=0.2)
    assert result.timed_out
    assert await shell.output("echo here") == "here\n"
