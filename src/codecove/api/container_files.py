"""/v1/containers/{id}/files/{path}: the files in a container, by their absolute paths."""

from typing import cast
from urllib.parse import unquote_to_bytes

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from codecove.api.attention import attend
from codecove.api.auth import authorise
from codecove.api.body import encode_json
from codecove.api.services import Services, services
from codecove.direct.files import Directory
from codecove.workspaces import Caller


async def _read(request: Request) -> Response:
    caller = await authorise(request)
    return _Read(services(request), caller, request.path_params["container_id"], _path(request))


async def _write(request: Request) -> Response:
    caller = await authorise(request)
    files = services(request).container_files
    entry = await files.write(caller, request.path_params["container_id"], _path(request), request.stream())
    return Response(encode_json(entry), media_type="application/json")


def _path(request: Request) -> str:
    """The path in the container. Names there are bytes: those that are not UTF-8 become surrogate escapes."""
    raw = cast("bytes", request.scope["raw_path"]).partition(b"?")[0]
    # `/v1/containers/<id>/files/…`: five slashes before the path's own first name.
    _, _, _, _, _, *names = raw.split(b"/")
    return "/" + unquote_to_bytes(b"/".join(names)).decode("utf-8", "surrogateescape")


class _Read(Response):
    """A directory as JSON, or a file's bytes, piece by piece. Reading ends when the client leaves."""

    def __init__(self, parts: Services, caller: Caller, container_id: str, path: str) -> None:
        super().__init__(
            headers={
                "content-type": "application/octet-stream",
                # What a program in a container wrote is never a page of this origin.
                "content-disposition": "attachment",
                "x-content-type-options": "nosniff",
            }
        )
        # A file may grow or shrink while it is read: its length is known at the end.
        del self.headers["content-length"]
        self._parts = parts
        self._caller = caller
        self._container_id = container_id
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await attend(self._pump(scope, receive, send), receive=receive, stopping=self._parts.stopping)
        except ClientDisconnect:
            return

    async def _pump(self, scope: Scope, receive: Receive, send: Send) -> None:
        files = self._parts.container_files
        async with files.opened(self._caller, self._container_id, self._path) as found:
            if isinstance(found, Directory):
                await Response(encode_json(found.to_wire()), media_type="application/json")(scope, receive, send)
                return
            first = await anext(found, b"")  # one that can't be opened is still an error with a status
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in found:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _AnyPath(PathConvertor):
    """Names in a container may have line ends, which Starlette's own `path` does not match."""

    regex = "(?s:.*)"


register_url_convertor("any", _AnyPath())

ROUTES = [
    Route("/v1/containers/{container_id}/files", _read, methods=["GET"]),
    Route("/v1/containers/{container_id}/files/{path:any}", _read, methods=["GET"]),
    Route("/v1/containers/{container_id}/files/{path:any}", _write, methods=["PUT"]),
]
