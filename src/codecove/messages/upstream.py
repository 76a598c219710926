"""Which upstream answers for which model."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

import httpx2
from pydantic import SecretStr

from codecove.messages.blocks_model import BlocksModel
from codecove.messages.fenced_upstream import FencedUpstream
from codecove.messages.http_upstream import HttpUpstream
from codecove.messages.measured import MeasuredUpstream
from codecove.messages.protocol import PassedHeaders, Upstream
from codecove.observe.observer import Observer
from codecove.settings import Settings, ToolCalling

__all__ = ["Choice", "PassedHeaders", "Upstream", "Upstreams"]

_CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers for a model, and under which name."""

    upstream: Upstream
    model: str
    """The name to send upstream."""

    @property
    def is_claude(self) -> bool:
        """Whether the model knows the blocks of the hosted service's own tools."""
        return "claude" in self.model.lower()


class Upstreams:
    """The upstreams of the settings. Async context manager: owns the HTTP connections."""

    def __init__(self, settings: Settings, observer: Observer | None = None) -> None:
        self._settings = settings
        self._observer = observer or Observer()
        self._client: httpx2.AsyncClient | None = None
        self._routes: list[tuple[str, Upstream, str | None]] = []
        self._default: Upstream = self._measured(BlocksModel(), "codecove/blocks")

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._client = httpx2.AsyncClient(
            # No proxy variables and no .netrc: the settings alone say where requests go.
            trust_env=False,
            timeout=httpx2.Timeout(settings.upstream_timeout, connect=_CONNECT_TIMEOUT),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
        )
        for route in settings.routes:
            upstream = self._over_http(route.upstream_url, route.upstream_api_key, route.tool_calling, route.model)
            self._routes.append((route.model, upstream, route.upstream_model))
        if settings.upstream_url is not None:
            key, calling = settings.upstream_api_key, settings.upstream_tool_calling
            self._default = self._over_http(settings.upstream_url, key, calling, "default")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    def choose(self, model: str) -> Choice:
        """The first route that fits the model, else the default, else the built-in model."""
        for pattern, upstream, name in self._routes:
            if fnmatchcase(model, pattern):
                return Choice(upstream, name or model)
        return Choice(self._default, model)

    def _over_http(self, url: str, key: SecretStr | None, calling: ToolCalling, name: str) -> Upstream:
        assert self._client is not None  # noqa: S101 -- only called by __aenter__
        secret = None if key is None else key.get_secret_value()
        upstream = HttpUpstream(self._client, base_url=url, api_key=secret)
        return self._measured(FencedUpstream(upstream) if calling == "fenced" else upstream, name)

    def _measured(self, upstream: Upstream, name: str) -> Upstream:
        return MeasuredUpstream(upstream, name, self._observer)
