"""Every endpoint."""

from codecove.api import container_files, containers, files, health, messages, models

ROUTES = [
    *health.ROUTES,
    *messages.ROUTES,
    *files.ROUTES,
    *containers.ROUTES,
    *container_files.ROUTES,
    *models.ROUTES,
]
