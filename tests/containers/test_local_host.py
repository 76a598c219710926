"""The service over real containers."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codecove.containers.journal import Journal
from codecove.containers.service import Containers
from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerExpired, ContainerUnavailable
from codecove.sandbox.host import Container
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from codecove.store.database import Database
from codecove.workspaces import Caller
from tests.containers.conftest import IDLE
from tests.containers.standin import Clock
from tests.sandbox.hosts import becomes
from tests.support.host import host_config

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def real_host(tmp_path: Path, image: Path, database: Database) -> AsyncIterator[LocalHost]:
    config = host_config(tmp_path / "sandbox", image)
    async with Journal(database) as journal, LocalHost(config) as host:
        host.observe(journal)
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


async def die_while_running(container: Container, tmp_path: Path) -> None:
    running = asyncio.create_task(shell(container, "sleep 60"))
    assert isinstance(container, LocalContainer)
    await becomes(container, State.BUSY)
    kill_sandbox(tmp_path)
    await running


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


async def test_a_sandbox_that_is_killed_costs_an_execution_but_not_the_container(
    containers: Containers, caller: Caller, tmp_path: Path
) -> None:
    async with containers.lease(caller, None) as lease:
        container = await lease.container()
        await shell(container, "echo kept > file")
        with pytest.raises(ContainerUnavailable):
            async with lease.execution("srvtoolu_1", "bash_code_execution"):
                await die_while_running(container, tmp_path)
        assert await shell(await lease.container(), "cat file") == "kept\n"
    await containers.delete(caller, container.id)
    assert sites(tmp_path) == []


async def test_the_events_of_a_container_tell_of_its_sleeps_wakes_and_crashes(
    containers: Containers, caller: Caller, real_host: LocalHost, tmp_path: Path
) -> None:
    async with containers.lease(caller, None) as lease:
        container = await lease.container()
        await shell(container, "sleep 60 &")
        await real_host.sleep(container.id, "asked for")
        await shell(container, "true")
        with pytest.raises(ContainerUnavailable):
            await die_while_running(container, tmp_path)
        await shell(container, "true")
        for _ in range(100):
            events = (await containers.catalogue.get(caller, container.id))["events"]
            if len(events) == 6:
                break
            await asyncio.sleep(0.05)
    assert [event["state"] for event in events] == ["running", "asleep", "running", "crashed", "asleep", "running"]
    assert [event["reason"] for event in events[1:4]] == [
        "asked for; with its processes",
        "woke with its processes",
        "the sandbox died",
    ]
    assert events[5]["reason"] == "woke with its files only: its sandbox had ended: the sandbox died"
