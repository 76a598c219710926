"""The guest agent can't be signalled, traced, read, starved or impersonated by the user's programs."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codecove.sandbox.errors import GuestFileError
from tests.sandbox.hosts import Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def still_answers(shell: Shell) -> AsyncIterator[None]:
    yield
    assert (await shell("echo alive")).stdout.head == b"alive\n"


@pytest.mark.parametrize("signal", ["KILL", "STOP", "TERM", "HUP", "SEGV", "CHLD", "CONT"])
async def test_it_cannot_be_signalled(shell: Shell, signal: str) -> None:
    assert b"not permitted" in (await shell(f"kill -{signal} 1")).stderr.head


async def test_killing_everything_kills_only_the_users_processes(shell: Shell) -> None:
    await shell("kill -KILL -1")


PTRACE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
    print(libc.ptrace(request, 1, None, None))
buffer = ctypes.create_string_buffer(8)
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
ours = Vector(ctypes.addressof(buffer), 8)
theirs = Vector(0x400000, 8)
print(libc.process_vm_readv(1, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
print(libc.process_vm_writev(1, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
"""


async def test_it_cannot_be_traced(shell: Shell) -> None:
    assert (await shell.python(PTRACE)).stdout.head.split() == [b"-1"] * 4


@pytest.mark.parametrize("file", ["mem", "exe", "fd/0", "fd/1", "fd/2", "task/1/mem", "root/.codecove/agent"])
@pytest.mark.parametrize("mode", ["O_RDONLY", "O_WRONLY", "O_RDWR"])
async def test_its_memory_program_and_pipes_cannot_be_opened(shell: Shell, file: str, mode: str) -> None:
    result = await shell.python(f"import os; os.open('/proc/1/{file}', os.{mode} | os.O_NONBLOCK)")
    assert b"PermissionError" in result.stderr.head


async def test_its_pipes_cannot_be_taken_through_a_pidfd(shell: Shell) -> None:
    program = "import ctypes, os; libc = ctypes.CDLL(None); print(libc.syscall(438, os.pidfd_open(1), 1, 0))"
    assert (await shell.python(program)).stdout.head in (b"-1\n", b"")


async def test_no_file_descriptor_of_it_is_inherited(shell: Shell) -> None:
    assert (await shell.output("cd /proc/self/fd; echo *")).split() == ["0", "1", "2", "255"] or (
        await shell.python("import os; print(sorted(os.listdir('/proc/self/fd')))")
    ).stdout.head == b"['0', '1', '2', '3']\n"


async def test_its_program_cannot_be_replaced_or_read(shell: Shell) -> None:
    result = await shell("cat /.codecove/agent; rm -rf /.codecove; mv /.codecove /tmp/x; ls /.codecove")
    assert result.stdout.head == b""
    with pytest.raises(GuestFileError):
        await shell.container.read_file("/.codecove/agent", limit=1)
    with pytest.raises(GuestFileError):
        await shell.container.write_file("/.codecove/agent", b"x")


async def test_frames_on_standard_output_are_only_output(shell: Shell) -> None:
    forged = b"\x1a\0\0\0\x45\x01\0\0\0" + bytes(21)
    result = await shell.python(f"import sys; sys.stdout.buffer.write({forged!r}); sys.exit(7)")
    assert result.stdout.head == forged
    assert result.return_code == 7


@pytest.mark.parametrize("name", ["x\\nGroups: 1", "x\\nUid: 0\\n", "\\xff\\n\\n\\n"])
async def test_a_name_that_imitates_a_status_file_does_not_save_from_the_time_limit(shell: Shell, name: str) -> None:
    program = f"import ctypes, os, time; ctypes.CDLL(None).prctl(15, b'{name}'); os.fork(); time.sleep(60)"
    result = await shell.python(program, timeout=1)
    assert result.timed_out
    assert await shell.processes() == []


async def test_file_calls_do_not_lend_the_agents_rights(shell: Shell) -> None:
    await shell("ln -sf /.codecove/agent /tmp/link; ln -sf /proc/1/mem /tmp/mem; ln -sfn /.codecove /tmp/directory")
    for path in ("/tmp/link", "/tmp/mem", "/tmp/directory/agent", "/root/x", "/proc/1/fd/0"):
        with pytest.raises(GuestFileError):
            await shell.container.read_file(path, limit=10)
    with pytest.raises(GuestFileError):
        await shell.container.list_directory("/tmp/directory", limit=10)
    await shell("rm /tmp/link /tmp/mem /tmp/directory")
