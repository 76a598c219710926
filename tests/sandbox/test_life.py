"""Containers come, fail and go, and leave nothing behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, HostFull, SandboxError
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import HostConfig, LocalHost
from tests.sandbox.hosts import LIMITS, Shell, becomes, new_name
from tests.sandbox.traces import calm, grown, mounts, traces
from tests.support.host import host_config, programs

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def live_and_go(host: LocalHost) -> None:
    """Four containers at once, each of which goes in another way, with something that runs in the background."""
    names = [new_name() for _ in range(4)]
    busy, asleep, dead, idle = await asyncio.gather(*(host.create(name) for name in names))
    leave = ["bash", "-c", "head -c 1M /dev/urandom > f; setsid sleep 60 &"]
    await asyncio.gather(*(container.run(leave, env={}, timeout=30) for container in (asleep, dead, idle)))
    running = asyncio.create_task(busy.run(["sleep", "60"], env={}, timeout=60))
    await host.sleep(asleep.id)
    for pid in dead.host_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*(host.delete(name) for name in names))
    with pytest.raises(ContainerUnavailable):
        await running


def allocated(directory: Path) -> int:
    """Bytes of the host's disk below it."""
    return int(subprocess.run(["du", "-s", "-B1", directory], capture_output=True, check=True).stdout.split()[0])


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.soak)])
async def test_containers_by_the_dozen_leave_nothing(host: LocalHost, rounds: int) -> None:
    await host.delete((await host.create(new_name())).id)
    before, disk = await calm(host), allocated(host.directory)
    for _ in range(rounds):
        await live_and_go(host)
    assert await grown(host, before) == {}
    assert allocated(host.directory) <= disk + 2**16


async def test_a_container_is_found_until_it_is_deleted(host: LocalHost) -> None:
    container = await host.create(new_name())
    assert await host.get(container.id) is container
    await host.delete(container.id)
    with pytest.raises(ContainerNotFound):
        await host.get(container.id)
    await host.delete(container.id)
    with pytest.raises(ContainerUnavailable):
        await container.run(["true"], env={}, timeout=5)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a" * 65, "-x", "x\0"])
async def test_malformed_ids_are_refused(host: LocalHost, name: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        await host.create(name)


async def test_two_containers_share_nothing(own_shell: Shell) -> None:
    other = await own_shell.host.create(new_name())
    try:
        await own_shell("echo secret | tee /tmp/f /workspace/f /dev/shm/f /files/f; sleep 60 &")
        seen = await other.run(["bash", "-c", "cat /tmp/f /workspace/f /dev/shm/f /files/f; ps -e"], env={}, timeout=9)
        assert b"secret" not in seen.stdout.head
        assert b"sleep" not in seen.stdout.head
    finally:
        await own_shell.host.delete(other.id)


async def test_deleting_ends_what_runs(host: LocalHost) -> None:
    container = await host.create(new_name())
    running = asyncio.create_task(container.run(["sleep", "60"], env={}, timeout=60))
    await becomes(container, State.BUSY)
    await host.delete(container.id)
    with pytest.raises(ContainerUnavailable):
        await running


@pytest.mark.parametrize("moment", [0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.15])
async def test_a_cancelled_start_leaves_nothing(host: LocalHost, moment: float) -> None:
    before = await calm(host)
    name = new_name()
    creating = asyncio.create_task(host.create(name))
    await asyncio.sleep(moment)
    creating.cancel()
    try:
        await creating
    except asyncio.CancelledError:
        assert await grown(host, before) == {}
    else:
        await host.delete(name)  # it was quicker than the cancellation


async def test_an_idle_container_is_frozen_and_thaws_for_the_next_call(own_shell: Shell) -> None:
    await becomes(own_shell.container, State.FROZEN)
    assert (await own_shell("echo awake")).stdout.head == b"awake\n"
    await becomes(own_shell.container, State.FROZEN)
    assert (await own_shell.container.stat("/tmp")).kind == "directory"


async def test_a_container_with_something_in_the_background_is_not_frozen_soon(own_shell: Shell) -> None:
    await own_shell("sleep 60 &")
    await asyncio.sleep(1.5)
    assert own_shell.container.state is State.IDLE


@pytest.fixture
async def small_host(image: Path, tmp_path: Path) -> AsyncIterator[LocalHost]:
    config = host_config(tmp_path, image, limits=LIMITS, max_containers=1, admission_wait=0.1)
    async with LocalHost(config) as host:
        yield host


@pytest.mark.asyncio(loop_scope="function")
async def test_no_more_containers_than_the_host_may_have(small_host: LocalHost) -> None:
    one = await small_host.create("one")
    busy = asyncio.create_task(one.run(["sleep", "60"], env={}, timeout=60))
    await becomes(one, State.BUSY)
    with pytest.raises(HostFull):
        await small_host.create("two")
    await small_host.delete("one")
    with pytest.raises(ContainerUnavailable):
        await busy
    await small_host.create("two")


@pytest.mark.asyncio(loop_scope="function")
async def test_closing_the_host_leaves_nothing_but_files(image: Path, tmp_path: Path) -> None:
    host = LocalHost(host_config(tmp_path, image, limits=LIMITS))
    before = await calm(host)
    async with host:
        await host.create("idle")
        container = await host.create("busy")
        busy = asyncio.create_task(container.run(["sleep", "60"], env={}, timeout=60))
        await becomes(container, State.BUSY)
        assert mounts(host) == 4
    with pytest.raises(ContainerUnavailable):
        await busy
    assert await grown(host, before, directories=traces(host)["directories"]) == {}


@pytest.mark.asyncio(loop_scope="function")
async def test_two_servers_never_share_a_directory(small_host: LocalHost, image: Path) -> None:
    with pytest.raises(SandboxError, match="another server is using"):
        async with LocalHost(host_config(small_host.directory, image)):
            pass


@pytest.mark.asyncio(loop_scope="function")
async def test_a_start_that_fails_says_what_the_runtime_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with LocalHost(HostConfig(tmp_path / "host", tmp_path / "empty", limits=LIMITS)) as host:
        next(host.directory.glob("guest-*/layer/.codecove/agent")).unlink()
        with pytest.raises(ContainerUnavailable) as caught:
            await host.create("x")
        assert "agent" in caught.value.detail
        assert mounts(host) == 0


async def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="known are runsc, crun, runc"):
        LocalHost(HostConfig(tmp_path, tmp_path, runtime="docker"))


CRASHING_SERVER = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from codecove.sandbox.limits import Limits
    from codecove.sandbox.local import HostConfig, LocalHost

    async def main():
        limits = Limits(disk_bytes=256 * 2**20)
        paths, runtime = [Path(path) for path in sys.argv[1:4]], sys.argv[4]
        config = HostConfig(*paths[:2], runtime, limits, programs=paths[2])
        async with LocalHost(config) as host:
            busy, idle = [await host.create(name) for name in ("busy", "idle")]
            await busy.run(["bash", "-c", "echo kept > file; sleep 600 & setsid sleep 600 &"], env={}, timeout=9)
            while idle.state != "frozen":
                await asyncio.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


@pytest.mark.parametrize("runtime", ["runsc", "crun"])
@pytest.mark.asyncio(loop_scope="function")
async def test_the_next_start_finds_the_files_of_a_killed_server_and_ends_all_else(
    image: Path, tmp_path: Path, runtime: str
) -> None:
    arguments = [str(tmp_path), str(image), str(programs()), runtime]
    command = [sys.executable, "-c", textwrap.dedent(CRASHING_SERVER), *arguments]
    server = await asyncio.create_subprocess_exec(*command)
    assert await server.wait() == -signal.SIGKILL
    (tmp_path / "containers/half-made").mkdir()
    host = LocalHost(host_config(tmp_path, image, runtime=runtime, limits=LIMITS))
    assert mounts(host) > 0
    async with host:
        # The kernel may take a moment to let go of a killed sandbox's mounts.
        assert await grown(host, {"mounts": 0, "loop devices": 0, "control groups": 0}) == {}
        assert await host.containers() == {"busy", "idle"}
        assert len(list((tmp_path / "containers").iterdir())) == 2
        shell = Shell(host, await host.get("busy"))
        assert "files only: the server ended" in shell.container.last.cause
        kept, mebibytes = (await shell.output("cat file; df --output=size -m . | tail -1")).split()
        assert kept == "kept"
        assert int(mebibytes) > LIMITS.disk_bytes >> 20  # its own limits, not those of this server
        assert await shell.processes() == []
