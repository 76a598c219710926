"""What the endpoints call. `app.py` builds it when the server starts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from codecove.api.rates import RateLimits
from codecove.batches.service import Batches
from codecove.containers.service import Containers
from codecove.direct.executions import Executions
from codecove.direct.files import ContainerFiles
from codecove.direct.terminals import Terminals
from codecove.files.service import Files
from codecove.messages.service import Messages
from codecove.models import Models
from codecove.observe.metrics import Metrics
from codecove.settings import Settings
from codecove.store.keys import Keys
from codecove.store.workspaces import Workspaces
from codecove.usage.service import Usage


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running server."""

    settings: Settings
    keys: Keys
    workspaces: Workspaces
    files: Files
    messages: Messages
    batches: Batches
    containers: Containers
    container_files: ContainerFiles
    executions: Executions
    terminals: Terminals
    rates: RateLimits
    usage: Usage
    models: Models
    metrics: Metrics
    backlog: Callable[[], Awaitable[None]]
    """Brings the metrics of the batches up to date."""
    stopping: asyncio.Event
    """Set when the server ends: work that still runs is cancelled."""


def services(request: HTTPConnection) -> Services:
    """The services of the server that got this request."""
    return cast("Services", request.app.state.services)
