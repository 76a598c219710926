"""What gVisor's kernel and its file server ask of the host while programs that mean harm run, seen by strace.

Programs' own processes can't be watched: each is traced by gVisor's kernel, and their system calls never reach the
host's. So whatever they do has to come out here.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell
from tests.security.test_hostile import CALL, PROGRAMS, SYSTEM_CALLS
from tests.support.host import host_config

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.skipif(shutil.which("runsc") is None, reason="crun has no kernel of its own to watch"),
]

WAYS_OUT = """
import os, socket, subprocess
paths = ["/etc/shadow", "/proc/1/root/etc/shadow", "/../../../../etc/hostname", "/proc/self/root/../../etc/passwd",
         "/.codecove/../../../etc/shadow", "/dev/mem", "/dev/sda", "/sys/fs/cgroup/x", "/var/run/docker.sock"]
os.makedirs("/tmp/a/b", exist_ok=True)
for number, path in enumerate(paths):
    os.symlink(path, f"/tmp/l{number}")
    os.symlink("../" * 20 + path.lstrip("/"), f"/tmp/a/b/l{number}")
for path in [*paths, *(f"/tmp/l{n}" for n in range(9)), *(f"/tmp/a/b/l{n}" for n in range(9))]:
    for act in (lambda: os.open(path, os.O_RDONLY), lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o6777),
                lambda: os.link(path, "/tmp/h"), lambda: os.rename(path, "/tmp/r"), lambda: os.truncate(path, 0),
                lambda: os.chmod(path, 0o4777), lambda: os.listdir(path), lambda: os.execv(path, [path])):
        try: act()
        except OSError: pass
for family, address in ((2, ("10.0.0.1", 80)), (10, ("::1", 80)), (1, "/dev/log"), (16, (0, 0)), (17, ("eth0", 0))):
    try: socket.socket(family, socket.SOCK_RAW if family > 10 else socket.SOCK_STREAM).connect(address)
    except OSError: pass
os.mkfifo("/tmp/fifo"); os.mknod("/tmp/sock", 0o140777)
print(subprocess.run(["ls", "/"], capture_output=True, text=True).stdout)
"""
KERNEL_CALLS = CALL + "".join(
    f"call({', '.join(map(repr, values))})\n" for name, values in SYSTEM_CALLS.items() if name != "reboot"
)
HOSTILE = [WAYS_OUT, KERNEL_CALLS, PROGRAMS["a FIFO for a file"]]

NEVER = {
    "execve", "execveat", "socket", "connect", "bind", "listen", "accept", "accept4", "socketpair", "chroot", "mount",
    "umount2", "pivot_root", "open", "creat", "uselib", "swapon", "acct",
}  # fmt: skip
_AT = re.compile(r'(\d+|AT_FDCWD), "((?:[^"\\]|\\.)*)"')
"""A directory that is open, and a path from there."""


def kernel_of(container: LocalContainer) -> list[int]:
    """The processes of gVisor itself, not those that programs run in."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in container.host_processes()}
    return [pid for pid, line in lines.items() if line.startswith((b"runsc-sandbox", b"runsc-gofer"))]


@asynccontextmanager
async def traced(pids: Sequence[int], output: Path) -> AsyncIterator[None]:
    command = ["strace", "-f", "-qq", "-o", str(output), "-e", "signal=none"]
    command += ["-e", "trace=%file,%network,mount,umount2,pivot_root,chroot"]
    command += [argument for pid in pids for argument in ("-p", str(pid))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
        try:
            async with asyncio.timeout(20):
                while not all(is_traced(pid) for pid in pids):
                    if strace.poll() is not None:
                        pytest.skip("nothing may be traced here")
                    await asyncio.sleep(0.02)
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(20)


def is_traced(pid: int) -> bool:
    tasks = [Path(f"/proc/{pid}/task/{task}/status") for task in os.listdir(f"/proc/{pid}/task")]
    return all("TracerPid:\t0\n" not in task.read_text() for task in tasks)


def own_descriptors(pids: Sequence[int]) -> set[str]:
    """The numbers under which a process has the list of its own open files: from there it opens one of them anew."""
    files = [(f"/proc/{pid}/fd", name) for pid in pids for name in os.listdir(f"/proc/{pid}/fd")]
    directories = [(at, name) for at, name in files if os.path.isdir(f"{at}/{name}")]
    return {
        name
        for at, name in directories
        if "0" in os.listdir(f"{at}/{name}") and set(os.listdir(f"{at}/{name}")) <= set(os.listdir(at))
    }


def what_leads_out(line: str, own: AbstractSet[str] = frozenset()) -> str:
    """Why this call is none that gVisor may make. Empty if it may. `own`: of `own_descriptors`."""
    call = re.match(r"\d+ +(\w+)\(", line)
    if call is None:
        return ""  # the end of one that was shown before
    if call[1] in NEVER:
        return "it is never needed"
    for directory, path in _AT.findall(line):
        if directory == "AT_FDCWD" or "/" in path or path == "..":
            return "it leads away from a directory of the container"
        if call[1] == "openat" and "O_NOFOLLOW" not in line and not (directory in own and path.isdecimal()):
            return "it would follow a link on the host"
    return "" if _AT.search(line) or call[1].startswith(("send", "recv", "shutdown")) else "it names no open directory"


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(AT_FDCWD, "passwd", O_RDONLY|O_NOFOLLOW) = 3',
        '7 openat(5, "../passwd", O_RDONLY|O_NOFOLLOW) = 3',
        '7 openat(5, "passwd", O_RDONLY) = 3',
        '7 execve("/bin/sh", ["sh"], 0x1) = 0',
        '7 stat("/etc/passwd", 0x1) = 0',
        "7 socket(AF_INET, SOCK_STREAM, 0) = 4",
    ],
)
def test_what_would_lead_out_is_noticed(line: str) -> None:
    assert what_leads_out(line)


@pytest.mark.parametrize(
    "programs", [HOSTILE, pytest.param([*PROGRAMS.values()], marks=pytest.mark.soak)], ids=["few", "all"]
)
async def test_no_program_makes_gvisor_reach_beyond_its_containers_files(
    image: Path, tmp_path: Path, programs: Sequence[str]
) -> None:
    async with LocalHost(host_config(tmp_path / "host", image, limits=LIMITS)) as host:
        shell = Shell(host, await host.create("one"))
        await shell.output("true")
        trace = tmp_path / "trace"
        pids = kernel_of(shell.container)
        own = own_descriptors(pids)
        async with traced(pids, trace):
            for program in programs:
                await shell.python(program, timeout=3)
                await shell("kill -9 -1")
            assert await shell.output("echo alive") == "alive\n"
        lines = trace.read_text(errors="replace").splitlines()
        assert len(lines) > 100
        assert any("python3" in line for line in lines)
        assert [f"{line}: {why}" for line in lines if (why := what_leads_out(line, own))] == []
