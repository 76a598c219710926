"""Fixtures: a host of each runtime, and containers on it."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.host import Execution
from codecove.sandbox.lifecycle import State
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import LocalHost
from tests.support.host import host_config

LIMITS = Limits(disk_bytes=64 * 2**20)
_names = (f"test-{number}" for number in itertools.count(1))


@dataclass
class Shell:
    """A container, and the shortest way to run bash in it."""

    host: LocalHost
    container: LocalContainer

    async def __call__(self, script: str, *, timeout: float = 30, stdin: bytes = b"") -> Execution:
        return await self.container.run(["bash", "-c", script], env={}, timeout=timeout, stdin=stdin)

    async def output(self, script: str) -> str:
        """What the script prints; it must succeed."""
        result = await self(script)
        assert result.return_code == 0, result
        return result.stdout.head.decode()

    async def processes(self) -> list[str]:
        """The command lines of the user's processes."""
        result = await self.container.run(["ps", "-U", "user", "-o", "args="], env={}, timeout=10)
        return sorted(line for line in result.stdout.head.decode().splitlines() if not line.startswith("ps "))

    async def python(self, program: str, *, timeout: float = 30) -> Execution:
        return await self.container.run(["python3", "-c", program], env={}, timeout=timeout)


async def becomes(container: LocalContainer, state: State) -> None:
    """Wait until it is in this state."""
    for _ in range(1500):
        if container.state is state:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{container.state} instead of {state}")


def new_name() -> str:
    return next(_names)


# runc does the same as crun with the same bundle: `make test` has a short form of it in test_runtimes.py.
RUNTIMES = ["runsc", "crun", pytest.param("runc", marks=pytest.mark.soak)]


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=RUNTIMES)
async def host(
    request: pytest.FixtureRequest, image: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalHost]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    directory = tmp_path_factory.mktemp(request.param)
    async with LocalHost(host_config(directory, image, runtime=request.param, limits=LIMITS)) as host:
        yield host
    assert list((directory / "containers").iterdir()) == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shell(host: LocalHost) -> AsyncIterator[Shell]:
    """One container for all tests of a module: they leave it as they found it."""
    container = await host.create(new_name())
    yield Shell(host, container)
    await host.delete(container.id)


@pytest_asyncio.fixture(loop_scope="session")
async def own_shell(host: LocalHost) -> AsyncIterator[Shell]:
    """A container of the test's own."""
    container = await host.create(new_name())
    yield Shell(host, container)
    await host.delete(container.id)
