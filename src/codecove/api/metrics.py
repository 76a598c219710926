"""GET /metrics: what the server counts, in Prometheus' text format."""

import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codecove.api.auth import bearer_token
from codecove.api.services import services
from codecove.errors import Unauthenticated
from codecove.observe.metrics import CONTENT_TYPE


async def _metrics(request: Request) -> Response:
    parts = services(request)
    wanted = parts.settings.metrics_key
    if wanted is not None:
        given = bearer_token(request) or ""
        if not secrets.compare_digest(given.encode(), wanted.get_secret_value().encode()):
            raise Unauthenticated("authorization: /metrics needs `Bearer` and the key in COVE_METRICS_KEY")
    await parts.backlog()
    return Response(parts.metrics.exposition(), headers={"content-type": CONTENT_TYPE})


ROUTES = [Route("/metrics", _metrics, methods=["GET"])]
