"""Every endpoint."""

from starlette.routing import Route, WebSocketRoute

from codecove.api import (
    batches,
    container_files,
    containers,
    files,
    health,
    messages,
    metrics,
    models,
    terminals,
    usage,
)

ROUTES: list[Route | WebSocketRoute] = [
    *messages.ROUTES,
    *containers.ROUTES,
    *container_files.ROUTES,
    *files.ROUTES,
    *batches.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *terminals.ROUTES,
    *models.ROUTES,
    *usage.ROUTES,
]
