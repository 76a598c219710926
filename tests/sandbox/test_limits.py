"""Memory, disk, processes, CPU: each limit holds, and the container outlives it."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell, new_name

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_one_huge_allocation_is_a_memory_error(shell: Shell) -> None:
    result = await shell.python("bytearray(2 * 2**30)")
    assert result.return_code == 1
    assert b"MemoryError" in result.stderr.head


async def test_memory_within_the_limit_can_be_used(shell: Shell) -> None:
    result = await shell.python("x = bytearray(b'x') * (900 * 2**20); print(len(x))")
    assert result.stdout.head == b"%d\n" % (900 * 2**20), result


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small_shell(host: LocalHost) -> AsyncIterator[Shell]:
    """A container with a quarter of the usual memory: it is filled four times as fast."""
    limits = Limits(disk_bytes=LIMITS.disk_bytes, memory_bytes=256 * 2**20)
    container = await host.create(new_name(), limits)
    yield Shell(host, container)
    await host.delete(container.id)


@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(b'x') * (350 * 2**20)",
        "x = []\nwhile True: x.append(bytearray(b'x') * 2**20)",
        "import mmap\nm = mmap.mmap(-1, 350 * 2**20)\nfor at in range(0, len(m), 4096): m[at] = 1",
    ],
    ids=["one block", "a growing list", "a shared mapping"],
)
async def test_memory_over_the_limit_kills_the_process_alone(small_shell: Shell, program: str) -> None:
    await small_shell.output("echo precious > file")
    result = await small_shell.python(f"{program}\nimport time; time.sleep(20)")
    assert result.return_code == 137
    assert result.out_of_memory
    assert await small_shell.output("cat file; rm file") == "precious\n"


async def test_out_of_memory_below_a_shell_is_reported_too(small_shell: Shell) -> None:
    result = await small_shell(
        "python3 -c \"import time; x = bytearray(b'x') * (350 * 2**20); time.sleep(20)\"; echo the shell goes on"
    )
    assert result.out_of_memory
    assert result.stdout.head == b"the shell goes on\n"


async def test_processes_that_exceed_the_memory_together(small_shell: Shell) -> None:
    one = "python3 -c \"import time; x = bytearray(b'x') * (100 * 2**20); time.sleep(1)\""
    result = await small_shell(f"for i in 1 2 3 4; do {one} & done; wait; echo alive")
    assert result.out_of_memory
    assert result.stdout.head == b"alive\n"


FILL_SOCKETS = """
import socket
kept = []
while True:
    a, b = socket.socketpair()
    a.setblocking(False)
    kept += [a, b]
    try:
        while True:
            a.send(bytes(65536))
    except BlockingIOError:
        pass
"""


async def test_memory_that_the_kernel_keeps_is_not_charged_to_the_next_program(host: LocalHost) -> None:
    limits = Limits(disk_bytes=LIMITS.disk_bytes, memory_bytes=128 * 2**20)
    container = await host.create(new_name(), limits)
    try:
        shell = Shell(host, container)
        await shell.python(FILL_SOCKETS, timeout=10)
        for _ in range(2):  # which may have to go, until the server has found out
            await shell("sleep 1.5")
        assert await shell.output("sleep 1.5; echo alive") == "alive\n"
    finally:
        await host.delete(container.id)


async def test_memory_that_outlives_its_processes_is_not_given(shell: Shell) -> None:
    assert (await shell("ipcmk -M 1000000")).return_code != 0


async def test_shared_memory_file_system_is_small(shell: Shell) -> None:
    result = await shell("head -c 100M /dev/zero > /dev/shm/file; rm /dev/shm/file")
    assert b"No space left on device" in result.stderr.head


@pytest.mark.parametrize("directory", ["/workspace", "/tmp", "/var/tmp", "/files/output", "/home/user"])
async def test_a_full_disk_is_an_error_inside(shell: Shell, directory: str) -> None:
    result = await shell(f"head -c 80M /dev/zero > {directory}/big; stat -c %s {directory}/big; rm {directory}/big")
    assert b"No space left on device" in result.stderr.head
    assert LIMITS.disk_bytes * 0.8 < int(result.stdout.head) < LIMITS.disk_bytes


async def test_df_shows_the_containers_own_disk(shell: Shell) -> None:
    for directory in ("/workspace", "/tmp"):
        size = int((await shell.output(f"df -B1 --output=size {directory}")).split()[-1])
        assert 0.9 * LIMITS.disk_bytes < size <= LIMITS.disk_bytes


async def test_a_write_beyond_the_disk_through_a_mapping_kills_that_process_alone(shell: Shell) -> None:
    program = "import mmap; f = open('m', 'w+b'); f.truncate(2**27); m = mmap.mmap(f.fileno(), 0)\n"
    program += "for at in range(0, len(m), 4096): m[at] = 1"
    result = await shell.python(program, timeout=60)
    assert result.return_code != 0
    assert await shell.output("rm m; echo alive") == "alive\n"


async def test_number_of_files_is_limited(own_shell: Shell) -> None:
    program = "import os, itertools\nfor n in itertools.count(): os.close(os.open(f'f{n}', os.O_CREAT))"
    result = await own_shell.python(program, timeout=100)
    assert b"No space left on device" in result.stderr.head
    inodes = int((await own_shell.output("df --output=itotal /workspace")).split()[-1])
    assert inodes <= LIMITS.disk_bytes // 16384 + 100


BOMBS = {
    "bash": ["bash", "-c", "bomb() { bomb | bomb & }; bomb; sleep 60"],
    "python": ["python3", "-c", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"],
    "a shell in a namespace": ["unshare", "-Ur", "bash", "-c", "bomb() { bomb | bomb & }; bomb; sleep 60"],
}


@pytest.mark.parametrize("kind", BOMBS)
async def test_fork_bomb_ends_with_its_command(own_shell: Shell, kind: str) -> None:
    await own_shell.container.run(BOMBS[kind], env={}, timeout=2)
    assert await own_shell.processes() == []


async def test_fork_bomb_in_the_background_does_not_outlive_the_next_command(own_shell: Shell) -> None:
    await own_shell("bomb() { bomb | bomb & }; bomb")
    await own_shell("sleep 2")
    assert await own_shell.processes() == []


async def test_number_of_processes_is_limited(shell: Shell) -> None:
    # Each child stays until its parent, which has no more, has closed the pipe.
    count = "import os\nn, (r, w) = 0, os.pipe()\ntry:\n  while os.fork(): n += 1\n  os.close(w), os.read(r, 1)\n"
    count += "except OSError: print(n)"
    result = await shell.python(count)
    assert int(result.stdout.head.split()[0]) <= LIMITS.processes


def cpu_seconds(pids: list[int]) -> float:
    """What these processes of the host and those they have reaped have used."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


async def test_busy_loops_share_the_cpu_time_of_their_container(host: LocalHost) -> None:
    limits = Limits(disk_bytes=LIMITS.disk_bytes, cpus=0.5)
    container = await host.create(new_name(), limits)
    try:
        before = cpu_seconds(container.host_processes())
        await container.run(
            ["bash", "-c", "for i in 1 2 3; do timeout 2 yes > /dev/null & done; wait"], env={}, timeout=9
        )
        used = cpu_seconds(container.host_processes()) - before
        assert used < 2 * limits.cpus * 1.4
    finally:
        await host.delete(container.id)


@pytest.mark.parametrize(("name", "most"), [("core", 0), ("memlock", 65536), ("msgqueue", 65536)])
async def test_small_limits(shell: Shell, name: str, most: int) -> None:
    program = f"import resource as r; print(max(r.getrlimit(r.RLIMIT_{name.upper()})))"
    if name == "msgqueue":
        program = "import resource as r; print(max(r.prlimit(0, 12)))"
    result = await shell.python(program)
    assert int(result.stdout.head) <= most, result


OPEN_FILES = """
import os, resource
opened = []
try:
    while True: opened.append(os.open("/tmp/file", os.O_CREAT | os.O_RDWR))
except OSError as error: print(len(opened) + 3, error.strerror)
try: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
except ValueError as error: print(error)
"""


async def test_each_process_has_so_many_files_open_at_most(host: LocalHost) -> None:
    container = await host.create(new_name(), Limits(disk_bytes=LIMITS.disk_bytes, open_files=300))
    try:
        shell = Shell(host, container)
        refused = "300 Too many open files\nnot allowed to raise maximum limit\n"
        assert (await shell.python(OPEN_FILES)).stdout.head.decode() == refused
        # One of the interpreters that wait has it too, and another process has its own.
        await shell.python("import pandas")
        two = f"import os, pandas\nos.fork() and os.wait()\n{OPEN_FILES}"
        assert (await shell.python(two)).stdout.head.decode() == refused * 2
    finally:
        await host.delete(container.id)


async def test_as_many_as_the_limit_says_can_be_open(shell: Shell) -> None:
    count = OPEN_FILES.replace("400", "5000")
    assert (await shell.python(count)).stdout.head.startswith(b"4096 Too many open files\n")


@pytest.mark.parametrize(
    "host", ["crun"], indirect=True
)  # the agent is the same everywhere, and processes are cheap here
async def test_output_left_open_takes_no_files_from_the_agent(host: LocalHost) -> None:
    container = await host.create(new_name(), Limits(disk_bytes=LIMITS.disk_bytes, open_files=256, processes=1000))
    try:
        shell = Shell(host, container)
        for _ in range(130):  # of each the agent holds two pipes
            await shell("sleep 600 &")
        assert await shell.output("ps -C sleep -o pid= | wc -l") == "130\n"
        await container.write_file("/workspace/file", b"still there")
        assert await container.read_file("/workspace/file", limit=100) == b"still there"
    finally:
        await host.delete(container.id)
