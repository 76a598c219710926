"""Tool calls as the server makes them: real containers, leases, files and database."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codecove import ids
from codecove.clock import now
from codecove.containers.lease import Lease
from codecove.containers.service import Containers
from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.messages.outputs import saved_by
from codecove.sandbox.host import Container
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.store.database import Database
from codecove.tools.base import Call
from codecove.tools.context import ToolLimits
from codecove.tools.session import ToolSession, Upload
from codecove.tools.versions import VERSIONS
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.support.host import host_config
from tests.support.sqlite import new_sqlite
from tests.tools.strict import assert_strict

CALLER = Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_01" + "0" * 22)
MAX_FILE_SIZE = 10**6


@dataclass
class Request:
    """One request's tool session, and what the tests look at beside it."""

    session: ToolSession
    lease: Lease
    files: Files

    async def call(self, name: str, **given: Any) -> dict[str, Any]:
        """The result block of one call of the newer tool, or of the older one when that has the name."""
        kind = "code_execution_20250522" if name == "code_execution" else "code_execution_20250825"
        block = await self.session.execute(VERSIONS[kind], Call(ids.new("srvtoolu"), name, given))
        assert_strict(block)
        json.dumps(block, ensure_ascii=False).encode()
        return block

    async def python(self, code: str) -> dict[str, Any]:
        return content_of(await self.call("code_execution", code=code))

    async def bash(self, command: str) -> dict[str, Any]:
        return content_of(await self.call("bash_code_execution", command=command))

    async def edit(self, command: str, path: str, **given: Any) -> dict[str, Any]:
        return content_of(await self.call("text_editor_code_execution", command=command, path=path, **given))

    async def container(self) -> Container:
        return await self.lease.container()

    async def put(self, path: str, data: bytes) -> None:
        await (await self.container()).write_file(path, data)

    async def get(self, path: str) -> bytes:
        return await (await self.container()).read_file(path, limit=2**24)

    async def delivered(self, content: dict[str, Any]) -> dict[str, bytes]:
        """The files of a result, by name."""
        found = {}
        for entry in content["content"]:
            file = await self.files.get(CALLER, entry["file_id"])
            found[file.filename] = b"".join([chunk async for chunk in self.files.content(CALLER, file)])
        return found


@dataclass
class Clock:
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return now() + self.ahead


@dataclass
class Server:
    """What outlives a request: the parts of a server below its API."""

    containers: Containers
    files: Files
    host: LocalHost
    clock: Clock
    shared_container: str | None = None
    """Used by all tests that don't care which container they have."""
    made: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def request(
        self, container_id: str | None = None, *, uploads: Sequence[Upload] = (), **limits: Any
    ) -> AsyncIterator[Request]:
        async with self.containers.lease(CALLER, container_id) as lease:
            session = ToolSession(
                lease=lease,
                uploads=uploads,
                save_outputs=saved_by(self.files, CALLER),
                limits=ToolLimits(**{"execution_timeout": 60, "max_file_size": MAX_FILE_SIZE, **limits}),
                turn=nullcontext,
            )
            yield Request(session, lease, self.files)
            if lease.container_id is not None:
                self.made.add(lease.container_id)

    async def expire_containers(self) -> None:
        """Let the time of all containers pass."""
        self.clock.ahead += timedelta(hours=2)
        await self.containers.sweep()
        self.shared_container = None

    async def delete_containers(self) -> None:
        """All but the shared one."""
        for container_id in self.made - {self.shared_container}:
            await self.host.delete(container_id)
        self.made.clear()

    async def upload(self, name: str, data: bytes) -> Upload:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        file = await self.files.create(CALLER, filename=name, data=chunks())
        return Upload(file.id, name, lambda: self.files.content(CALLER, file))


def content_of(block: dict[str, Any]) -> dict[str, Any]:
    content = block["content"]
    assert isinstance(content, dict)
    return content


@asynccontextmanager
async def running_server(directory: Path, config: HostConfig) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(new_sqlite(directory)))
        host = await stack.enter_async_context(LocalHost(config))
        time = Clock()
        containers = Containers(database=database, host=host, idle_expiry=3600, now=time.now)
        await stack.enter_async_context(containers)
        files = Files(database=database, blobs=Blobs(directory / "blobs"), max_size=MAX_FILE_SIZE)
        yield Server(containers, files, host, time)


@asynccontextmanager
async def small_server(directory: Path, image: Path, runtime: str) -> AsyncIterator[Server]:
    limits = Limits(disk_bytes=64 * 2**20, output_bytes=100_000)
    config = host_config(directory / "host", image, runtime=runtime, limits=limits)
    async with running_server(directory, config) as server:
        yield server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def under_gvisor(tmp_path_factory: pytest.TempPathFactory, image: Path) -> AsyncIterator[Server]:
    async with small_server(tmp_path_factory.mktemp("tools"), image, "runsc") as server:
        yield server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def under_crun(tmp_path_factory: pytest.TempPathFactory, image: Path) -> AsyncIterator[Server]:
    async with small_server(tmp_path_factory.mktemp("tools"), image, "crun") as server:
        yield server


@pytest.fixture
def package_server(request: pytest.FixtureRequest) -> Server:
    """Modules that look at answers more than at what runs say `RUNTIME = "crun"`: it takes less processor time."""
    name = "under_crun" if getattr(request.module, "RUNTIME", "") == "crun" else "under_gvisor"
    server: Server = request.getfixturevalue(name)
    return server


@pytest_asyncio.fixture(loop_scope="session")
async def server(package_server: Server) -> AsyncIterator[Server]:
    """A server with small containers. What a test makes in it is gone after the test."""
    yield package_server
    await package_server.delete_containers()


@pytest_asyncio.fixture(loop_scope="session")
async def request_(server: Server) -> AsyncIterator[Request]:
    """A request whose container has empty directories."""
    async with server.request(server.shared_container) as request:
        container = await request.container()
        await container.run(["bash", "-c", _CLEAN], env={}, timeout=10)
        server.shared_container = container.id
        yield request


_CLEAN = "find /workspace /tmp /files /home/user -mindepth 1 -delete 2>/dev/null; mkdir -p /files/input /files/output"
