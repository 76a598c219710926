"""Containers made, and tools called, by a client itself. The calls take the same way as a model's."""

from collections.abc import Sequence
from typing import Any

from codecove import ids
from codecove.containers.service import Containers
from codecove.direct.failures import sandbox_failures
from codecove.errors import InvalidRequest
from codecove.files.service import Files
from codecove.messages.outputs import saved_by
from codecove.messages.uploads import resolve
from codecove.sandbox.host import Container
from codecove.settings import Settings
from codecove.tools.base import Call, Tool
from codecove.tools.context import ToolLimits
from codecove.tools.directories import input_directory
from codecove.tools.precedence import Precedence
from codecove.tools.results import CALL_NAMES
from codecove.tools.session import ToolSession, Upload
from codecove.tools.versions import VERSIONS
from codecove.workspaces import Caller


class Executions:
    """Makes containers and runs calls in those of the caller's workspace."""

    def __init__(self, *, settings: Settings, containers: Containers, files: Files, precedence: Precedence) -> None:
        self._settings = settings
        self._containers = containers
        self._files = files
        self._precedence = precedence

    async def create_container(self, caller: Caller, file_ids: Sequence[str]) -> str:
        """A new container with these files in the `$INPUT_DIR` of its executions; the value is its id.

        Raises `NotFound` for a file before anything starts, `QuotaExceeded`, `Overloaded`, `TooLarge`. If it fails or
        is cancelled, there is no container.
        """
        blocks = [{"type": "container_upload", "file_id": file_id} for file_id in file_ids]
        uploads = (await resolve([{"role": "user", "content": blocks}], files=self._files, caller=caller)).uploads
        async with self._containers.lease(caller, None) as lease:
            with sandbox_failures():
                container = await lease.container()
            try:
                with sandbox_failures():
                    await _put(container, uploads)
            except BaseException:
                await self._containers.delete(caller, container.id)
                raise
            return container.id

    async def execute(self, caller: Caller, container_id: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """The result block of one call of the tool `name` with the input `given`.

        Raises `InvalidRequest` for another name, `NotFound` for a container that is not there or has ended.
        """
        tool = _tool(name)

        async with self._containers.lease(caller, container_id, on_expired="http_error") as lease:
            session = ToolSession(
                lease=lease,
                uploads=(),
                save_outputs=saved_by(self._files, caller),
                limits=ToolLimits(
                    execution_timeout=caller.container_limits.execution_timeout or self._settings.execution_timeout,
                    max_file_size=self._settings.max_file_size,
                    max_output_bytes=self._containers.limits(caller).disk_bytes,
                    capture_working_directory=self._settings.capture_working_directory,
                ),
                turn=self._precedence.interactive,
            )
            return await session.execute(tool, Call(id=ids.new("srvtoolu"), name=name, input=given))


async def _put(container: Container, uploads: Sequence[Upload]) -> None:
    directory = input_directory()
    await container.make_directories([directory])  # where it can't be made, writing a file into it says why
    for upload in uploads:
        await container.write_file(f"{directory}/{upload.name}", upload.open())


def _tool(name: str) -> Tool:
    for tool in VERSIONS.values():
        if name in tool.call_names:
            return tool
    raise InvalidRequest(f"name: '{name}' is not a tool. Tools: {', '.join(sorted(CALL_NAMES))}")
