"""Programs that mean harm. After each, its container answers and so does its neighbour."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codecove.sandbox.host import Execution
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell, new_name

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

CALL = "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); call = libc.syscall\n"
PROGRAMS = {
    "sessions that fork": (
        "import os\nwhile True:\n  try:\n    if os.fork() == 0: os.setsid()\n  except OSError: pass"
    ),
    "orphans of orphans": (
        "import os\nfor n in range(3000):\n  try:\n    if os.fork() == 0:\n      if os.fork() == 0: os.setsid()\n"
        "      else: os._exit(0)\n  except OSError: pass"
    ),
    "threads": (
        "import threading, time\nwhile True:\n"
        "  try: threading.Thread(target=time.sleep, args=(9,)).start()\n  except RuntimeError: pass"
    ),
    "memory in memfd": (
        "import os\nfiles = []\nfor n in range(100):\n  f = os.memfd_create('x'); files.append(f)\n"
        "  for _ in range(64): os.write(f, bytes(2**20))"
    ),
    "memory in shm": "f = open('/dev/shm/f', 'wb')\nwhile True: f.write(bytes(2**20))",
    "memory in pipes": (
        "import os\nwhile True:\n  r, w = os.pipe(); os.set_blocking(w, False)\n"
        "  try:\n    while True: os.write(w, bytes(65536))\n  except BlockingIOError: pass"
    ),
    "memory in sockets": (
        "import socket\nkept = []\nwhile True:\n  a, b = socket.socketpair(); a.setblocking(False); kept += [a, b]\n"
        "  try:\n    while True: a.send(bytes(65536))\n  except BlockingIOError: pass"
    ),
    "memory in threads' stacks": (
        "import mmap\nkept = []\nwhile True:\n"
        "  m = mmap.mmap(-1, 2**24); m[::4096] = bytes(len(m[::4096])); kept.append(m)"
    ),
    "inodes": "import os, itertools\nfor n in itertools.count(): os.mkdir(f'd{n}')",
    "a deep tree": "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
    "a sparse file and a copy of it": (
        "import os, shutil\nf = open('sparse', 'wb'); f.truncate(2**43); f.close()\nshutil.copyfile('sparse', 'copy')"
    ),
    "an endless line of output": "import sys\nwhile True: sys.stdout.write('x' * 2**20)",
    "output on both": "import os\nwhile True: os.write(1, bytes(2**20)); os.write(2, bytes(2**20))",
    "reading all of proc and sys": (
        "import os\nfor top in ('/proc', '/sys'):\n  for at, _, names in os.walk(top):\n"
        "    for name in names:\n      try:\n"
        "        f = os.open(os.path.join(at, name), os.O_RDONLY | os.O_NONBLOCK); os.read(f, 65536); os.close(f)\n"
        "      except OSError: pass"
    ),
    "writing all of proc and sys": (
        "import os\nfor top in ('/proc', '/sys'):\n  for at, _, names in os.walk(top):\n"
        "    if at.startswith(f'/proc/{os.getpid()}') or '/self' in at: continue\n    for name in names:\n      try:\n"
        "        f = os.open(os.path.join(at, name), os.O_WRONLY | os.O_NONBLOCK); os.write(f, b'1'); os.close(f)\n"
        "      except OSError: pass"
    ),
    "signals to everyone": (
        "import os, signal\nfor s in range(1, 65):\n  for pid in (1, -1, 2, 3):\n"
        "    if s in (9, 19) and pid == -1: continue\n"
        "    try: os.kill(pid, s)\n    except (OSError, ValueError): pass"
    ),
    "kill -9 everyone": "import os; os.kill(-1, 9)",
    "stop everyone": "import os; os.kill(-1, 19)",
    "ignoring all signals": (
        "import os, signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n"
        "  except (OSError, ValueError): pass\nos.fork(); os.setsid() if os.fork() == 0 else 0\nwhile True: pass"
    ),
    "pseudo terminals": "import pty\nkept = []\nwhile True: kept.append(pty.openpty())",
    "message queues and semaphores": CALL
    + "for n in range(100000):\n  if call(68, 0, 0o1666) < 0 and call(64, 0, 250, 0o1666) < 0: break",
    "locked memory": CALL
    + "import mmap\nm = mmap.mmap(-1, 2**28); libc.mlockall(7)\nm[::4096] = bytes(len(m[::4096]))",
    "descriptors": "import os\nkept = []\nwhile True: kept.append(os.open('/dev/null', 0))",
    "watches and timers": (
        CALL + "for n in range(20000):\n  f = libc.inotify_init()\n"
        "  libc.timerfd_create(1, 0); libc.eventfd(0, 0); libc.epoll_create(1)"
    ),
    "a FIFO for a file": "import os\nos.mkfifo('/files/output/x'); os.symlink('/proc/1/fd/0', '/files/output/y')",
    "a working directory that is shut": "import os\nos.chmod('/workspace', 0)",
    "files with every limit raised": (
        "import resource\nfor n in range(16):\n  try: resource.setrlimit(n, (-1, -1))\n"
        "  except (OSError, ValueError): pass\n"
        "x = bytearray(2**33)"
    ),
    "a crash with a core": "import ctypes; ctypes.string_at(0)",
    "a tracer of its siblings": CALL
    + "import subprocess\np = subprocess.Popen(['sleep', '9'])\nprint(libc.ptrace(16, p.pid, 0, 0))\np.kill()",
    "a lock that stays": (
        "import fcntl, os\nf = open('/tmp/lock', 'w'); fcntl.flock(f, 2)\nif os.fork() == 0:\n"
        "  os.setsid(); import time; time.sleep(99)"
    ),
    "names that are no text": "for n in [*range(1, 46), *range(48, 255)]: open(bytes([n]) * 20 + b'\\xff\\n', 'w')",
}
SYSTEM_CALLS = {
    "io_uring_setup": (425, 8, 0),
    "userfaultfd": (323, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "open_by_handle_at": (304, -100, 0, 0),
    "pivot_root": (155, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "fsopen": (430, 0, 0),
    "setns": (308, 0, 0),
    "settimeofday": (164, 0, 0),
    "clock_settime": (227, 0, 0),
    "reboot": (169, -18751827, 672274793, 0x1234567),
    "swapon": (167, 0, 0),
    "acct": (163, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "iopl": (172, 3),
    "fanotify_init": (300, 0, 0),
    "lookup_dcookie": (212, 0, 0, 0),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbour(host: LocalHost) -> AsyncIterator[Shell]:
    """Another container of the same host."""
    container = await host.create(new_name())
    yield Shell(host, container)
    await host.delete(container.id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(host: LocalHost) -> AsyncIterator[Shell]:
    """One container for all of them: what one leaves must not break the next."""
    container = await host.create(
        new_name(), Limits(disk_bytes=LIMITS.disk_bytes, memory_bytes=256 * 2**20, processes=64)
    )
    yield Shell(host, container)
    await host.delete(container.id)


async def alive(shell: Shell) -> Execution:
    return await shell("chmod 755 /workspace; echo alive; cat /workspace/precious", timeout=20)


SHORT = ("sessions that fork", "memory in memfd", "reading all of proc and sys", "kill -9 everyone", "output on both")
"""Those of `make test`; all of them are in `make soak`."""
NAMES = [name if name in SHORT else pytest.param(name, marks=pytest.mark.soak) for name in PROGRAMS]


@pytest.mark.parametrize("name", NAMES)
async def test_a_hostile_program_harms_nobody(victim: Shell, neighbour: Shell, name: str) -> None:
    await victim.output("echo kept > precious")
    result = await victim.python(PROGRAMS[name], timeout=2)
    assert result.seconds < 10, result
    assert len(result.stdout.head) + len(result.stdout.tail) <= 2**20
    # What gVisor keeps of sockets may cost the next program or two their lives, until the server has found out.
    answers = [(await alive(victim)).stdout.head]
    while answers[-1] != b"alive\nkept\n" and len(answers) < 4:
        await asyncio.sleep(1)
        answers.append((await alive(victim)).stdout.head)
    assert answers[-1] == b"alive\nkept\n", answers
    assert await neighbour.output("echo fine") == "fine\n"
    # What it left is no obstacle to removing it.
    await victim("kill -9 -1")
    await victim("find /workspace /tmp /dev/shm /files/output -mindepth 1 ! -name precious -delete", timeout=30)


@pytest.mark.parametrize("name", SYSTEM_CALLS)
async def test_system_calls_that_lead_out_are_refused(victim: Shell, name: str) -> None:
    number, *arguments = SYSTEM_CALLS[name]
    result = await victim.python(f"{CALL}print(call({number}, *{arguments!r}), ctypes.get_errno())")
    answer = result.stdout.head.split()
    assert answer[:1] == [b"-1"], result
