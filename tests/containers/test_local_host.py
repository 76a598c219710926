"""The service over real containers."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.containers.service import Containers
from codecove.sandbox.errors import ContainerExpired, ContainerUnavailable
from codecove.sandbox.host import Container
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.store.database import Database
from codecove.workspaces import Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def real_host(tmp_path: Path, image: Path) -> AsyncIterator[LocalHost]:
    async with LocalHost(HostConfig(directory=tmp_path / "sandbox", rootfs=image)) as host:
        yield host


@pytest.fixture
async def containers(database: Database, real_host: LocalHost, clock: Clock) -> AsyncIterator[Containers]:
    async with Containers(database=database, host=real_host, idle_expiry=IDLE, now=clock) as containers:
        yield containers


async def shell(container: Container, command: str) -> str:
    execution = await container.run(["/bin/sh", "-c", command], env={}, timeout=30)
    return (execution.stdout.head + execution.stderr.head).decode()


def sites(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "sandbox" / "containers")


def kill_sandbox(tmp_path: Path) -> None:
    """Kill the runtime's processes of the containers below `tmp_path`, as a crash would."""
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(tmp_path).encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    assert killed


async def test_files_last_until_the_container_expires(
    containers: Containers, caller: Caller, clock: Clock, tmp_path: Path
) -> None:
    async with containers.lease(caller, None) as lease:
        container = await lease.container()
        async with lease.execution("srvtoolu_1", "bash_code_execution"):
            await shell(container, "echo kept > note.txt")
    clock.advance(IDLE - 1)
    async with containers.lease(caller, container.id) as lease:
        assert await shell(await lease.container(), "cat note.txt") == "kept\n"
    clock.advance(IDLE)
    await containers.sweep()
    assert sites(tmp_path) == []
    async with containers.lease(caller, container.id) as lease:
        with pytest.raises(ContainerExpired):
            await lease.container()


async def test_a_sandbox_that_is_killed_fails_its_container_and_leaves_nothing(
    containers: Containers, caller: Caller, tmp_path: Path
) -> None:
    async with containers.lease(caller, None) as lease:
        container = await lease.container()
        await shell(container, "true")
        kill_sandbox(tmp_path)
        with pytest.raises(ContainerUnavailable):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                await shell(container, "true")
        with pytest.raises(ContainerUnavailable, match="leave `container` out"):
            await lease.container()
    assert sites(tmp_path) == []
    async with containers.lease(caller, None) as lease:
        assert await shell(await lease.container(), "echo well") == "well\n"
