"""GET /health: whether the server answers. GET /ready: whether it can do its work. Neither needs a key."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codecove import __version__
from codecove.api.services import services
from codecove.containers.readiness import NotReady


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


async def _ready(request: Request) -> Response:
    """200 when something has run in a container within the last minute, if need be just now; else 503."""
    parts = services(request)
    try:
        if parts.stopping.is_set():
            raise NotReady("the server is stopping")
        proved = await parts.containers.readiness.check()
    except NotReady as error:
        return JSONResponse({"status": "not ready", "reason": str(error)}, status_code=503)
    return JSONResponse({"status": "ready", "container_ran_seconds_ago": round(proved, 1)})


ROUTES = [Route("/health", _health, methods=["GET"]), Route("/ready", _ready, methods=["GET"])]
