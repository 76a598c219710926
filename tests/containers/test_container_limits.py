"""Limits that a workspace has of its own, from its caller down to the kernel."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from codecove.containers.service import Containers
from codecove.sandbox.errors import ContainerUnavailable
from codecove.sandbox.host import Container
from codecove.sandbox.lifecycle import State
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from codecove.sandbox.memory import HEADROOM_BYTES
from codecove.sandbox.pool import PoolSize
from codecove.store.database import Database
from codecove.workspaces import Caller, ContainerLimits
from tests.containers.conftest import IDLE
from tests.containers.standin import StandInHost
from tests.containers.support import use
from tests.support.host import host_config

OWN = ContainerLimits(memory_bytes=256 * 2**20, disk_bytes=64 * 2**20, cpus=0.5, processes=20, open_files=300)


@pytest.fixture
def lab(caller: Caller) -> Caller:
    return replace(caller, container_limits=OWN)


async def test_a_container_is_made_with_the_limits_of_its_workspace_and_else_of_the_host(
    containers: Containers, host: StandInHost, caller: Caller, lab: Caller
) -> None:
    host.limits = Limits(processes=99, output_bytes=7)
    own, usual = await use(containers, lab), await use(containers, caller)
    assert host.given == {
        own: Limits(**OWN.for_container(), output_bytes=7),
        usual: host.limits,
    }


async def shell(container: Container, command: str) -> str:
    execution = await container.run(["bash", "-c", command], env={}, timeout=30)
    return (execution.stdout.head + execution.stderr.head).decode()


async def check(host: LocalHost, container: Container) -> None:
    """What the container is told of its limits, and what the kernel holds it to."""
    seen = await shell(
        container, "grep MemTotal /proc/meminfo; df --output=size -BM /workspace | tail -1; ulimit -u; ulimit -Hn"
    )
    total, disk, processes, open_files = seen.splitlines()
    assert total.split()[1] == str(256 * 2**10)
    assert 50 < int(disk.strip("M ")) < 64
    assert (processes, open_files) == ("20", "300")
    # One of the pool has no record yet.
    records = (host.directory / "containers").glob("*/record.json")
    (site,) = [path.parent for path in records if container.id in path.read_text()]
    (group,) = [name for name in host.control_groups() if name.endswith(site.name)]

    def kernel(controller: str, *files: str) -> int:
        paths = [
            Path("/sys/fs/cgroup") / controller / group.lstrip("/") / files[0],
            *(Path(f"/sys/fs/cgroup{group}") / file for file in files[1:]),
        ]
        return int(next(path for path in paths if path.exists()).read_text().split()[0])

    assert kernel("memory", "memory.limit_in_bytes", "memory.max") == 256 * 2**20 + HEADROOM_BYTES
    assert kernel("cpu", "cpu.cfs_quota_us", "cpu.max") == 10_000


@pytest.fixture
async def real_host(tmp_path: Path, image: Path) -> AsyncIterator[LocalHost]:
    config = host_config(tmp_path / "sandbox", image, limits=Limits(disk_bytes=96 * 2**20), pool=PoolSize(1, 1))
    async with LocalHost(config) as host:
        yield host


@pytest.mark.sandbox
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_it_really_has_them_beside_a_full_pool_and_keeps_them_whatever_becomes_of_it(
    real_host: LocalHost, database: Database, lab: Caller, caller: Caller
) -> None:
    async with asyncio.timeout(30):
        while real_host.statistics().pool_size != 1:  # noqa: ASYNC110  (a host tells nobody of its pool)
            await asyncio.sleep(0.05)
    async with (
        Containers(database=database, host=real_host, idle_expiry=IDLE) as containers,
        containers.lease(lab, None) as lease,
        containers.lease(caller, None) as other,
    ):
        container = await lease.container()
        assert real_host.statistics().counts.pool_hits == 0
        await check(real_host, container)
        await shell(container, "echo kept > file")
        assert "MemTotal:        1048576" in await shell(await other.container(), "cat /proc/meminfo")
        assert real_host.statistics().counts.pool_hits == 1

        assert await real_host.sleep(container.id)
        await check(real_host, await lease.container())
        # As one whose workspace has other limits by now is woken after a crash.
        resident = real_host._residents[container.id]
        async with resident.lock:
            await resident.abandon("a crash")
        assert resident.container.state is State.ASLEEP
        await check(real_host, await lease.container())
        assert await shell(await lease.container(), "cat file") == "kept\n"


@pytest.mark.sandbox
async def test_more_than_the_machine_has_is_refused_and_leaves_nothing(image: Path, tmp_path: Path) -> None:
    async with LocalHost(host_config(tmp_path, image)) as host:
        for beyond in (Limits(memory_bytes=2**50), Limits(disk_bytes=2**60), Limits(cpus=5000)):
            with pytest.raises(ContainerUnavailable, match="this machine has"):
                await host.create("one", beyond)
        assert list((tmp_path / "containers").iterdir()) == []
