"""Whether containers can run here now: known from one that has."""

import asyncio
from collections.abc import Callable

import structlog

from codecove import clock, ids
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.host import SandboxHost
from codecove.store.finish import finish

_TRUST_SECONDS = 60.0
"""For how long a container that ran proves that the next will."""
_RETRY_SECONDS = 10.0
"""After a failure. Whoever may ask needs no key, so asking often must cost nothing."""
_RUN_SECONDS = 20.0

log = structlog.get_logger(__name__)


class NotReady(Exception):
    """No container could be run. The message has the reason, without anything that the log alone should have."""


class Readiness:
    """Remembers when something last ran in a container; when that is long ago, runs something in a new one."""

    def __init__(self, host: SandboxHost, now: Callable[[], float] = clock.monotonic) -> None:
        self._host = host
        self._now = now
        self._ran_at: float | None = None
        self._failed_at: float | None = None
        self._failure = ""
        self._trying = asyncio.Lock()

    def ran(self) -> None:
        """A command has just run in a container."""
        self._ran_at = self._now()

    async def check(self) -> float:
        """Seconds since the proof that containers can run here. Raises `NotReady`."""
        async with self._trying:
            if self._ran_at is None or self._now() - self._ran_at > _TRUST_SECONDS:
                await self._prove()
            assert self._ran_at is not None  # noqa: S101  # else it has raised
            return self._now() - self._ran_at

    async def _prove(self) -> None:
        if self._failed_at is not None and self._now() - self._failed_at < _RETRY_SECONDS:
            raise NotReady(self._failure)
        try:
            await self._run_one()
        except (SandboxError, OSError) as error:
            log.error("no container could be run", reason=str(error), detail=getattr(error, "detail", ""))
            self._failed_at, self._failure = self._now(), f"no container could be run: {type(error).__name__}"
            raise NotReady(self._failure) from error
        self._failed_at = None
        self.ran()

    async def _run_one(self) -> None:
        container_id = ids.new("container")
        try:
            container = await self._host.create(container_id)
            run = await container.run(["true"], env={}, timeout=_RUN_SECONDS)
        finally:
            await finish(self._host.delete(container_id))
        if run.return_code != 0:
            raise SandboxError(f"`true` ended with {run.return_code}")
