"""Tool calls as the server makes them: real containers, leases, files and database."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codecove import ids
from codecove.containers.lease import Lease
from codecove.containers.service import Containers
from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.sandbox.host import Container
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.store.database import Database
from codecove.tools.base import Call
from codecove.tools.context import ToolLimits
from codecove.tools.session import ToolSession, Upload
from codecove.tools.versions import VERSIONS
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller

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
        return await self.session.execute(VERSIONS[kind], Call(ids.new("srvtoolu"), name, given))

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
class Server:
    """What outlives a request."""

    containers: Containers
    files: Files

    @asynccontextmanager
    async def request(
        self, container_id: str | None = None, *, uploads: Sequence[Upload] = (), **limits: Any
    ) -> AsyncIterator[Request]:
        async def save_output(name: str, data: AsyncIterable[bytes]) -> str:
            return (await self.files.create(CALLER, filename=name, data=data, downloadable=True)).id

        async with self.containers.lease(CALLER, container_id) as lease:
            session = ToolSession(
                lease=lease,
                uploads=uploads,
                save_output=save_output,
                limits=ToolLimits(**{"execution_timeout": 60, "max_file_size": MAX_FILE_SIZE, **limits}),
            )
            yield Request(session, lease, self.files)

    async def upload(self, name: str, data: bytes) -> Upload:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        file = await self.files.create(CALLER, filename=name, data=chunks())
        return Upload(file.id, name, lambda: self.files.content(CALLER, file))


def content_of(block: dict[str, Any]) -> dict[str, Any]:
    content = block["content"]
    assert isinstance(content, dict)
    return content


@pytest.fixture
async def server(tmp_path: Path, image: Path) -> AsyncIterator[Server]:
    """A server's parts below the API, with small containers."""
    limits = Limits(disk_bytes=64 * 2**20, output_bytes=100_000)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(f"sqlite:///{tmp_path}/codecove.db"))
        config = HostConfig(directory=tmp_path / "host", rootfs=image, limits=limits)
        host = await stack.enter_async_context(LocalHost(config))
        containers = Containers(database=database, host=host, idle_expiry=3600)
        await stack.enter_async_context(containers)
        files = Files(database=database, blobs=Blobs(tmp_path / "blobs"), max_size=MAX_FILE_SIZE)
        yield Server(containers, files)


@pytest.fixture
async def request_(server: Server) -> AsyncIterator[Request]:
    async with server.request() as request:
        yield request
