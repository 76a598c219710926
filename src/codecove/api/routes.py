"""Every endpoint."""

from codecove.api import batches, container_files, containers, files, health, messages, metrics, models, usage

ROUTES = [
    *health.ROUTES,
    *metrics.ROUTES,
    *messages.ROUTES,
    *batches.ROUTES,
    *files.ROUTES,
    *containers.ROUTES,
    *container_files.ROUTES,
    *models.ROUTES,
    *usage.ROUTES,
]
