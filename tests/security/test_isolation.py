"""What a program inside may not see, reach or change. Each test attacks from inside."""

import os
import socket
from pathlib import Path

import pytest

from tests.sandbox.hosts import Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

WRITABLE = {"/workspace", "/tmp", "/var/tmp", "/files", "/files/input", "/files/output", "/home/user", "/dev/shm"}


async def test_the_user_has_no_privileges(shell: Shell) -> None:
    status = dict(
        line.split(":\t", 1) for line in (await shell.output("cat /proc/self/status")).splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1000"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff"):
        assert int(status[kind], 16) == 0
    no_new_privs = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    assert (await shell.python(no_new_privs)).stdout.head == b"1\n"


async def test_set_user_id_programs_give_nothing(shell: Shell) -> None:
    command = "cp /usr/bin/id /tmp/id; chmod u+s /tmp/id; /tmp/id -u; rm /tmp/id; su root -c id < /dev/null || echo no"
    lines = (await shell.output(command)).splitlines()
    assert lines == ["1000", "no"]


async def test_only_loopback(shell: Shell) -> None:
    assert (await shell.python("import socket; print([name for _, name in socket.if_nameindex()])")).stdout.head == (
        b"['lo']\n"
    )


@pytest.mark.parametrize("address", ["1.1.1.1", "10.0.0.1", "169.254.169.254", "192.168.1.1"])
async def test_no_other_machine_is_reached(shell: Shell, address: str) -> None:
    program = f"import socket; socket.create_connection(({address!r}, 80), timeout=3)"
    result = await shell.python(program)
    assert b"unreachable" in result.stderr.head or b"No route to host" in result.stderr.head


async def test_a_server_on_the_host_is_not_reached(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = await shell.python(f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=3)")
    assert b"refused" in result.stderr.head


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH"])
async def test_sockets_that_lead_past_the_network_are_refused(shell: Shell, family: str) -> None:
    result = await shell.python(f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW)")
    assert result.return_code != 0


async def test_directories_the_user_may_write(shell: Shell) -> None:
    command = "find / -xdev -type d -writable 2>/dev/null; find /dev /tmp /sys -type d -writable 2>/dev/null"
    found = set((await shell(command)).stdout.head.decode().split())
    assert {path for path in found if not path.startswith("/home/user/")} == WRITABLE


async def test_files_outside_of_them_the_user_may_write(shell: Shell) -> None:
    command = "find / -xdev -type f -writable -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null"
    found = (await shell(command)).stdout.head.decode().split()
    assert [path for path in found if not path.startswith("/home/user/")] == []


async def test_the_root_file_system_cannot_be_changed(shell: Shell) -> None:
    result = await shell("echo x > /usr/bin/python3; rm -f /bin/bash; mkdir /new; touch /etc/x; echo x >> /etc/passwd")
    assert result.stderr.head.count(b"ermission denied") >= 4


async def test_no_path_of_the_host_is_visible(shell: Shell, image: Path) -> None:
    seen = await shell.output("cat /proc/mounts /proc/self/mountinfo /proc/self/cgroup /proc/self/maps; env; ls -l /")
    seen += (await shell("cat /proc/1/environ /proc/1/cmdline /proc/1/mountinfo /proc/cmdline")).stdout.head.decode()
    for path in (shell.host.directory, image, Path.cwd()):
        assert str(path) not in seen
    for path in (shell.host.directory, image):
        assert path.name not in seen


async def test_no_socket_or_disk_of_the_host_is_visible(shell: Shell) -> None:
    assert await shell.output("find / -xdev \\( -type s -o -type b \\) 2>/dev/null; find /dev -type b") == ""
    devices = set((await shell.output("find /dev -type c -printf '%f\\n'")).split())
    assert devices <= {"full", "null", "random", "tty", "urandom", "zero", "ptmx", "fuse", "tun", "console", "0"}
    for path in ("/dev/fuse", "/dev/net/tun", "/dev/kmsg", "/dev/mem", "/dev/kvm"):
        result = await shell.python(f"import os; os.read(os.open({path!r}, os.O_RDWR), 1)")
        assert result.return_code != 0


async def test_the_hosts_processes_are_not_visible(shell: Shell) -> None:
    pids = [int(pid) for pid in (await shell.output("ls /proc")).split() if pid.isdigit()]
    commands = await shell.output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert len(pids) < 10
    assert "pytest" not in commands


async def test_names_of_the_machine_are_not_shown(shell: Shell) -> None:
    assert await shell.output("hostname; cat /etc/hostname") == "sandbox\nsandbox\n"


@pytest.mark.parametrize(
    "call",
    [
        "unshare -U true",
        "unshare -Ur true",
        "unshare -n true",
        "unshare -m true",
        "nsenter -t 1 -m true",
        "mount -t tmpfs none /tmp",
        "umount /tmp",
        "chroot / true",
        "mknod /tmp/disk b 8 0",
        "python3 -c \"import socket; socket.sethostname('other')\"",
        "date -s 2000-01-01",
        "ip link add x type dummy",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "ulimit -n 100000",
        "ulimit -u unlimited",
        "ulimit -v unlimited",
        "ulimit -c unlimited",
        "chown root /workspace",
        "swapon /tmp/x",
    ],
)
async def test_calls_that_need_privileges_fail(shell: Shell, call: str) -> None:
    assert (await shell(call)).return_code != 0


CLONE3 = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
flags = (ctypes.c_uint64 * 11)(0x10000000)
print(libc.syscall(435, flags, 88), ctypes.get_errno())
"""


async def test_a_user_namespace_through_the_newer_call(shell: Shell) -> None:
    assert (await shell.python(CLONE3)).stdout.head == b"-1 38\n"


async def test_a_login_as_another_user(shell: Shell) -> None:
    program = "import os\nfor call in (os.setuid, os.setgid):\n  try: call(0); print('root')\n  except OSError: pass\n"
    program += "try: os.setgroups([0]); print('groups')\nexcept OSError: pass"
    assert (await shell.python(program)).stdout.head == b""


async def test_the_servers_own_files_are_out_of_reach(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    path = tmp_path / "secret"
    escapes = [str(path), f"/proc/1/root{path}", f"/proc/self/root/../../../..{path}", f"/../../..{path}"]
    result = await shell("; ".join(f"cat {escape}" for escape in escapes))
    assert b"hunter2" not in result.stdout.head
    assert os.fspath(path) in result.stderr.head.decode()
