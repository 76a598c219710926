"""/v1/models: the models that this server answers for."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codecove.api.auth import authorise
from codecove.api.body import encode_json
from codecove.api.services import services


async def _list(request: Request) -> Response:
    await authorise(request)
    models = await services(request).models.list()
    page = {
        "data": models,
        "has_more": False,
        "first_id": models[0]["id"] if models else None,
        "last_id": models[-1]["id"] if models else None,
    }
    return Response(encode_json(page), media_type="application/json")


async def _get(request: Request) -> Response:
    await authorise(request)
    model = await services(request).models.get(request.path_params["model_id"])
    return Response(encode_json(model), media_type="application/json")


ROUTES = [
    Route("/v1/models", _list, methods=["GET"]),
    # An id may have slashes: `codecove/blocks`.
    Route("/v1/models/{model_id:path}", _get, methods=["GET"]),
]
