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
    *health.ROUTES,
    *metrics.ROUTES,
    *messages.ROUTES,
    *batches.ROUTES,
    *files.ROUTES,
    *containers.ROUTES,
    *container_files.ROUTES,
    *terminals.ROUTES,
    *models.ROUTES,
    *usage.ROUTES,
]
