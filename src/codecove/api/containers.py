"""/v1/containers: containers as a client sees and uses them itself."""

from typing import Any, cast, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codecove.api.attention import attend
from codecove.api.auth import authorise
from codecove.api.body import encode_json, read_object
from codecove.api.paging import asked
from codecove.api.services import services
from codecove.errors import InvalidRequest
from codecove.store.tables import ContainerState

_MAX_FILES = 1000


async def _list(request: Request) -> Response:
    caller = await authorise(request)
    page = await services(request).containers.catalogue.list(caller, asked(request), _state(request))
    return _json(page.to_wire())


def _state(request: Request) -> ContainerState | None:
    states = [state for state in get_args(ContainerState) if state != "deleted"]
    state = request.query_params.get("state")
    if state is not None and state not in states:
        raise InvalidRequest(f"state: Input should be one of {', '.join(states)}")
    return cast("ContainerState | None", state)


async def _get(request: Request) -> Response:
    caller = await authorise(request)
    return _json(await services(request).containers.catalogue.get(caller, request.path_params["container_id"]))


async def _create(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    body = await read_object(request, limit=parts.settings.max_body)
    creating = parts.executions.create_container(caller, _file_ids(body))
    container_id = await attend(creating, receive=request.receive, stopping=parts.stopping)
    return _json(await parts.containers.catalogue.get(caller, container_id))


def _file_ids(body: dict[str, Any]) -> list[str]:
    file_ids = body.get("files", [])
    if not isinstance(file_ids, list) or not all(isinstance(file_id, str) for file_id in file_ids):
        raise InvalidRequest("files: Input should be a list of file ids")
    if len(file_ids) > _MAX_FILES:
        raise InvalidRequest(f"files: at most {_MAX_FILES}")
    if unknown := body.keys() - {"files"}:
        raise InvalidRequest(f"{min(unknown)}: Extra inputs are not permitted")
    return file_ids


async def _delete(request: Request) -> Response:
    caller = await authorise(request)
    container_id = request.path_params["container_id"]
    await services(request).containers.delete(caller, container_id)
    return _json({"id": container_id, "type": "container_deleted"})


async def _execute(request: Request) -> Response:
    caller = await authorise(request)
    parts = services(request)
    body = await read_object(request, limit=parts.settings.max_body)
    name, given = body.get("name"), body.get("input")
    if not isinstance(name, str):
        raise InvalidRequest("name: Field required" if name is None else "name: Input should be a string")
    if not isinstance(given, dict):
        raise InvalidRequest("input: Field required" if given is None else "input: Input should be an object")
    executing = parts.executions.execute(caller, request.path_params["container_id"], name, given)
    return _json(await attend(executing, receive=request.receive, stopping=parts.stopping))


async def _executions(request: Request) -> Response:
    caller = await authorise(request)
    container_id = request.path_params["container_id"]
    page = await services(request).containers.catalogue.executions(caller, container_id, asked(request))
    return _json(page.to_wire())


def _json(value: dict[str, Any]) -> Response:
    return Response(encode_json(value), media_type="application/json")


ROUTES = [
    Route("/v1/containers", _list, methods=["GET"]),
    Route("/v1/containers", _create, methods=["POST"]),
    Route("/v1/containers/{container_id}", _get, methods=["GET"]),
    Route("/v1/containers/{container_id}", _delete, methods=["DELETE"]),
    Route("/v1/containers/{container_id}/executions", _execute, methods=["POST"]),
    Route("/v1/containers/{container_id}/executions", _executions, methods=["GET"]),
]
