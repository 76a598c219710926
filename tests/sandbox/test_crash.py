"""A sandbox that dies takes what runs with it, and nothing else."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.sandbox import record
from codecove.sandbox.errors import ContainerLost, ContainerUnavailable, HostFull
from codecove.sandbox.lifecycle import State, Transition
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.sandbox.observing import Work
from tests.sandbox.hosts import LIMITS, Shell, becomes, new_name
from tests.sandbox.traces import calm, grown
from tests.support.host import host_config, programs

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


class Diary:
    """What a host tells."""

    def __init__(self) -> None:
        self.moves: list[tuple[str, State, str]] = []

    def moved(self, container_id: str, before: State, now: Transition) -> None:
        self.moves.append((container_id, now.state, now.cause))

    def took(self, work: Work, seconds: float) -> None:
        assert seconds >= 0

    def states_of(self, container_id: str) -> list[State]:
        return [state for name, state, _ in self.moves if name == container_id]


def kill(shell: Shell, which: str) -> None:
    """As the kernel or an operator might: the processes of the sandbox whose command line has `which` in it."""
    killed = 0
    for pid in shell.container.host_processes():
        with contextlib.suppress(OSError):
            if which in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed


@pytest.mark.parametrize(
    ("doing", "which"),
    [("idle", ""), ("busy", ""), ("frozen", ""), ("idle", "boot"), ("busy", "gofer"), ("frozen", "gofer")],
)
async def test_a_sandbox_that_is_killed_costs_what_runs_but_not_the_files(
    own_shell: Shell, doing: str, which: str
) -> None:
    if which and "runsc" not in own_shell.host.directory.name:
        pytest.skip("only gVisor has such a process")
    diary = Diary()
    own_shell.host.observe(diary)
    await own_shell.output("mkdir d; echo kept > d/file; echo t > /tmp/t")
    crashes = own_shell.host.statistics().counts.failures["crash"]
    if doing == "busy":
        running = asyncio.create_task(own_shell("sleep 60", timeout=60))
        waiting = asyncio.create_task(own_shell("cat d/file"))
        await becomes(own_shell.container, State.BUSY)
        kill(own_shell, which)
        async with asyncio.timeout(10):
            with pytest.raises(ContainerUnavailable):
                await running
            assert (await waiting).stdout.head == b"kept\n"
    elif doing == "idle":
        kill(own_shell, which)
        await becomes(own_shell.container, State.ASLEEP)
    else:
        await becomes(own_shell.container, State.FROZEN)
        kill(own_shell, which)
    assert await own_shell.output("cat d/file /tmp/t") == "kept\nt\n"
    states = diary.states_of(own_shell.container.id)
    first = states.index(State.CRASHED)
    assert states[first : first + 4] == [State.CRASHED, State.ASLEEP, State.WAKING, State.IDLE]
    assert any("woke with its files only: its sandbox had ended" in cause for _, _, cause in diary.moves)
    assert own_shell.host.statistics().counts.failures["crash"] == crashes + 1


async def test_other_containers_do_not_notice_when_one_dies(own_shell: Shell) -> None:
    other = Shell(own_shell.host, await own_shell.host.create(new_name()))
    running = asyncio.create_task(own_shell.output("sleep 0.5; echo alive"))
    await becomes(own_shell.container, State.BUSY)
    kill(other, "")
    assert await running == "alive\n"
    await own_shell.host.delete(other.container.id)


async def test_a_crash_leaves_nothing_but_files_until_the_next_use(host: LocalHost) -> None:
    before = await calm(host)
    shell = Shell(host, await host.create(new_name()))
    kill(shell, "")
    await becomes(shell.container, State.ASLEEP)
    assert await grown(host, before, directories=1) == {}
    await host.delete(shell.container.id)


async def test_it_can_die_again_and_again(own_shell: Shell) -> None:
    for number in range(3):
        await own_shell.output(f"echo {number} >> file")
        kill(own_shell, "")
        await becomes(own_shell.container, State.ASLEEP)
    assert await own_shell.output("cat file") == "0\n1\n2\n"


@pytest.fixture
async def host_of_its_own(image: Path, tmp_path: Path) -> AsyncIterator[LocalHost]:
    async with LocalHost(host_config(tmp_path / "host", image, limits=LIMITS)) as host:
        yield host


@pytest.fixture
async def breakable_host(image: Path, tmp_path: Path) -> AsyncIterator[LocalHost]:
    """Not even what is compiled for containers is shared: the test breaks it."""
    async with LocalHost(HostConfig(tmp_path / "host", image, limits=LIMITS, boot_timeout=6)) as host:
        yield host


@pytest.mark.asyncio(loop_scope="function")
async def test_the_runtimes_last_lines_are_recorded(host_of_its_own: LocalHost) -> None:
    shell = Shell(host_of_its_own, await host_of_its_own.create("one"))
    (directory,) = host_of_its_own.directory.glob("containers/*")
    with (directory / "runtime.log").open("a") as log:
        log.write("panic: something in the runtime\n")
    kill(shell, "boot")
    await becomes(shell.container, State.ASLEEP)
    kept = record.read(directory)
    assert kept is not None
    assert "panic: something in the runtime" in kept.last_words
    assert "the sandbox died" in kept.without


@pytest.mark.asyncio(loop_scope="function")
async def test_a_container_that_never_boots_says_so_in_time_and_keeps_its_files(breakable_host: LocalHost) -> None:
    shell = Shell(breakable_host, await breakable_host.create("one"))
    await shell.output("echo kept > file")
    await breakable_host.sleep("one")
    (agent,) = breakable_host.directory.glob("guest-*/layer/.codecove/agent")
    true_agent = agent.with_name("agent.kept")
    agent.rename(true_agent)
    agent.write_text("#!/bin/sh\nsleep 1000\n")
    agent.chmod(0o755)
    await drop_checkpoint(breakable_host)
    attempts = breakable_host.get("one"), breakable_host.create("two")
    for error in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(error, ContainerUnavailable)
        assert "did not boot within 6 s" in str(error)
    assert shell.container.state is State.ASLEEP
    assert await breakable_host.containers() == {"one"}
    true_agent.rename(agent)
    assert await shell.output("cat file") == "kept\n"


async def drop_checkpoint(host: LocalHost) -> None:
    for checkpoint in host.directory.glob("containers/*/checkpoint"):
        await asyncio.to_thread(shutil.rmtree, checkpoint)


@pytest.mark.asyncio(loop_scope="function")
async def test_an_image_that_is_deleted_under_the_server_costs_no_files(image: Path, tmp_path: Path) -> None:
    rootfs = tmp_path / "image"
    rootfs.mkdir()
    subprocess.run(["mount", "--bind", str(image), str(rootfs)], check=True)
    try:
        async with LocalHost(host_config(tmp_path / "host", rootfs, limits=LIMITS, boot_timeout=5)) as host:
            shell = Shell(host, await host.create("one"))
            await shell.output("echo kept > file")
            await host.sleep("one")
            subprocess.run(["umount", str(rootfs)], check=True)
            for attempt in (host.get("one"), host.create("two")):
                with pytest.raises(ContainerUnavailable):
                    await attempt
            assert shell.container.state is State.ASLEEP
            subprocess.run(["mount", "--bind", str(image), str(rootfs)], check=True)
            assert await shell.output("cat file") == "kept\n"
    finally:
        subprocess.run(["umount", "-l", str(rootfs)], check=False)


@pytest.mark.asyncio(loop_scope="function")
async def test_only_a_container_whose_disk_is_gone_is_lost(host_of_its_own: LocalHost) -> None:
    shells = [Shell(host_of_its_own, await host_of_its_own.create(name)) for name in ("gone", "damaged")]
    for shell in shells:
        await host_of_its_own.sleep(shell.container.id)
    # The kernel may still be writing to a disk that was unmounted just now.
    assert await grown(host_of_its_own, {"loop devices": 0}) == {}
    for directory in host_of_its_own.directory.glob("containers/*"):
        kept = record.read(directory)
        assert kept is not None
        if kept.container_id == "gone":
            (directory / "disk.ext4").unlink()
        else:
            (directory / "disk.ext4").write_bytes(bytes(LIMITS.disk_bytes))
    for shell in shells:
        with pytest.raises(ContainerLost):
            await host_of_its_own.get(shell.container.id)
        with pytest.raises(ContainerLost):
            await shell("true")
        assert shell.container.state is State.FAILED
        await host_of_its_own.delete(shell.container.id)
    await host_of_its_own.create("another")


WITHOUT_A_CONTROL_GROUP = """
    import asyncio, subprocess, sys
    from pathlib import Path
    from codecove.sandbox.errors import ContainerUnavailable
    from codecove.sandbox.limits import Limits
    from codecove.sandbox.local import HostConfig, LocalHost

    async def main():
        limits = Limits(disk_bytes=64 * 2**20)
        async with LocalHost(HostConfig(*map(Path, sys.argv[1:3]), limits=limits, programs=Path(sys.argv[4]))) as host:
            one = await host.create("one")
            await one.write_file("/workspace/file", b"kept")
            await host.sleep("one")
            subprocess.run(["umount", "-l", sys.argv[3]], check=True)
            for attempt in (host.get("one"), host.create("two")):
                try:
                    await attempt
                except ContainerUnavailable as error:
                    print(error, error.detail)
            subprocess.run(["mount", "-t", "cgroup", "-o", "pids", "pids", sys.argv[3]], check=True)
            await host.get("one")
            print((await one.read_file("/workspace/file", limit=9)).decode())

    asyncio.run(main())
"""


@pytest.mark.skipif(Path("/sys/fs/cgroup/cgroup.controllers").exists(), reason="version 2 has one hierarchy")
@pytest.mark.asyncio(loop_scope="function")
async def test_a_hierarchy_of_control_groups_that_goes_missing_costs_no_files(image: Path, tmp_path: Path) -> None:
    program = textwrap.dedent(WITHOUT_A_CONTROL_GROUP)
    places = [str(tmp_path), str(image), "/sys/fs/cgroup/pids", str(programs())]
    command = ["unshare", "-m", sys.executable, "-c", program, *places]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, second, content = done.stdout.splitlines()
    assert "pids" in first
    assert "pids" in second
    assert content == "kept"


@pytest.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[Path]:
    """A file system of 1.3 GiB: a little more than what a host leaves free."""
    file, mounted = tmp_path / "disk", tmp_path / "mounted"
    mounted.mkdir()
    with file.open("wb") as made:
        made.truncate(1300 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(file)], check=True)
    subprocess.run(["mount", "-o", "loop", str(file), str(mounted)], check=True)
    try:
        yield mounted
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(mounted)], capture_output=True, check=False).returncode == 0:
                break
            await asyncio.sleep(0.1)
        assert not mounted.is_mount()


@pytest.mark.asyncio(loop_scope="function")
async def test_a_full_disk_of_the_host_makes_no_containers_and_loses_none(image: Path, small_disk: Path) -> None:
    async with LocalHost(host_config(small_disk / "host", image, limits=LIMITS)) as host:
        shells = [Shell(host, await host.create(name)) for name in ("awake", "asleep")]
        for shell in shells:
            await shell.output("echo kept > file; sync; sleep 600 &")
        await host.sleep("asleep")
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 2**16)
        with pytest.raises(HostFull, match="disk"):
            await host.create("another")
        assert await shells[0].output("cat file") == "kept\n"
        assert await host.sleep("awake")
        assert "files only" in shells[0].container.last.cause
        for shell in shells:
            with contextlib.suppress(HostFull, ContainerUnavailable):
                assert await shell.output("cat file") == "kept\n"
        filler.unlink()
        for shell in shells:
            assert await shell.output("cat file") == "kept\n"
