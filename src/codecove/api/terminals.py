"""/v1/containers/{id}/terminal: a program on a terminal in a container, over a WebSocket.

Binary messages are bytes: what is typed, what is written. Text messages are JSON: `resize` from the client, and from
the server one `exit` or `error`, after which it closes.
"""

import asyncio
import json
import re
from typing import Any

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from codecove.api.auth import authorise
from codecove.api.errors import Failure, failure_of
from codecove.api.services import services
from codecove.direct.terminals import Opening, Size
from codecove.errors import InvalidRequest, Overloaded

_SHELL = ["bash"]
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_FAILED = 1011
_CLOSE_CODES = {400: 1008, 529: 1001}
"""Of the WebSocket protocol: policy violation, going away, and else an internal error."""

_log = structlog.stdlib.get_logger(__name__)


class _Socket:
    """The person's end of a terminal."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes | Size | None:
        """Raises `InvalidRequest` for a message that means nothing."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        if (typed := message.get("bytes")) is not None:
            return bytes(typed)
        return _resized(message["text"])

    async def send(self, output: bytes) -> None:
        await self._websocket.send_bytes(output)


async def _terminal(websocket: WebSocket) -> None:
    try:
        code = await _until_stopped(websocket)
        _log.info("terminal", path=websocket.url.path, return_code=code)
        if code is not None:
            await websocket.send_json({"type": "exit", "return_code": code})
            await websocket.close()
    except WebSocketDisconnect:
        _log.info("terminal", path=websocket.url.path, return_code=None)
    except Exception as error:  # noqa: BLE001  # one that nobody meant is logged, and the client told that it was
        failure = failure_of(error)
        if failure.error_type == "api_error":
            _log.exception("a terminal failed")
        await _tell(websocket, failure)


async def _until_stopped(websocket: WebSocket) -> int | None:
    """The program's exit code; None if the client left. Raises `Overloaded` when the server stops."""
    running = asyncio.create_task(_run(websocket))
    stopping = asyncio.create_task(services(websocket).stopping.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise Overloaded("This server is shutting down; try again in a moment")
        return running.result()
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.wait((running, stopping))


async def _run(websocket: WebSocket) -> int | None:
    caller = await authorise(websocket)
    opening = _opening(websocket)

    async def answer() -> _Socket:
        await websocket.accept()
        return _Socket(websocket)

    return await services(websocket).terminals.run(caller, websocket.path_params["container_id"], opening, answer)


async def _tell(websocket: WebSocket, failure: Failure) -> None:
    """An HTTP answer before the upgrade, a message after it."""
    request_id = websocket.state.request_id
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.send_denial_response(failure.response(request_id))
        return
    try:
        await websocket.send_json(failure.envelope(request_id))
        await websocket.close(_CLOSE_CODES.get(failure.status, _FAILED))
    except WebSocketDisconnect:
        _log.info("the client left before it could be told", message=failure.message)


def _opening(websocket: WebSocket) -> Opening:
    asked = websocket.query_params
    term = asked.get("term", "xterm-256color")
    if not _TERM.fullmatch(term):
        raise InvalidRequest("term: Input should be a name such as xterm-256color")
    size = Size(_dimension(asked.get("rows", "24"), "rows"), _dimension(asked.get("columns", "80"), "columns"))
    argv = asked.getlist("arg") or _SHELL
    if not argv[0] or any("\0" in argument for argument in argv):
        raise InvalidRequest("arg: the first is the program's name, and none has a NUL character")
    return Opening(argv, size, {"TERM": term})


def _resized(text: str) -> Size:
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict) or message.get("type") != "resize":
        raise InvalidRequest('text messages are {"type": "resize", "rows": …, "columns": …}')
    return Size(_dimension(message.get("rows"), "rows"), _dimension(message.get("columns"), "columns"))


def _dimension(value: Any, name: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise InvalidRequest(f"{name}: Input should be a whole number from 1 to 65535")
    return value


ROUTES = [WebSocketRoute("/v1/containers/{container_id}/terminal", _terminal)]
