"""The models that this server answers for."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Self

import httpx2
import structlog
from pydantic import SecretStr

from codecove import clock
from codecove.errors import NotFound
from codecove.settings import Route, Settings

BUILT_IN = "codecove/blocks"
"""The model that answers when no upstream is configured."""

_PATIENCE = 5.0
"""Seconds for an upstream to list its models; one that takes longer is left out."""

_log = structlog.stdlib.get_logger(__name__)


def models_url(base_url: str) -> str:
    """Where an upstream lists its models. Its URL may be given with or without the `/v1`."""
    return base_url.rstrip("/").removesuffix("/v1") + "/v1/models"


class Models:
    """Lists models: those of the routes, then those that the default upstream lists. An async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def list(self) -> list[dict[str, Any]]:
        """Model objects of the API. An upstream that does not answer is left out, and said so in the log."""
        settings = self._settings
        asked = [self._of_route(route) for route in settings.routes]
        if settings.upstream_url is not None:
            asked.append(self._ask(settings.upstream_url, settings.upstream_api_key))
        found: dict[str, dict[str, Any]] = {}
        for models in await asyncio.gather(*asked):
            for model in models:
                found.setdefault(model["id"], model)
        if settings.upstream_url is None:
            found.setdefault(BUILT_IN, _model({"id": BUILT_IN, "display_name": "codecove blocks (built in)"}))
        return list(found.values())

    async def get(self, model_id: str) -> dict[str, Any]:
        """One of the list. Raises `NotFound`."""
        for model in await self.list():
            if model["id"] == model_id:
                return model
        raise NotFound(f"model: {model_id}")

    async def _of_route(self, route: Route) -> Iterable[dict[str, Any]]:
        """The model that a route names; for a pattern, those of its upstream that fit."""
        if not set(route.model) & set("*?["):
            return [_model({"id": route.model})]
        models = await self._ask(route.upstream_url, route.upstream_api_key)
        return [model for model in models if fnmatchcase(model["id"], route.model)]

    async def _ask(self, base_url: str, key: SecretStr | None) -> Iterable[dict[str, Any]]:
        headers = {"anthropic-version": "2023-06-01"}
        if key is not None:
            headers["x-api-key"] = key.get_secret_value()
        try:
            answer = await self._client.get(models_url(base_url), headers=headers, params={"limit": 1000})
            answer.raise_for_status()
            entries = answer.json()["data"]
            return [_model(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            _log.warning("an upstream lists no models", url=base_url, reason=f"{type(error).__name__}: {error}")
            return []


def _model(entry: dict[str, Any]) -> dict[str, Any]:
    """A model object of the API. Other servers' entries have an `id` and perhaps `created`, in Unix seconds."""
    if entry.get("type") == "model":
        return entry
    created = entry.get("created")
    seconds = created if isinstance(created, int) and 0 <= created < 2**32 else 0
    return {
        "type": "model",
        "id": entry["id"],
        "display_name": str(entry.get("display_name") or entry["id"]),
        "created_at": clock.isoformat(datetime.fromtimestamp(seconds, UTC)),
    }
