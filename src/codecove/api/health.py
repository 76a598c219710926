"""GET /health: whether the server answers. Needs no key."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codecove import __version__


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


ROUTES = [Route("/health", _health, methods=["GET"])]
