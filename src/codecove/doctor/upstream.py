"""The models' servers: whether they answer, and what."""

from collections.abc import AsyncIterator

import httpx2
from pydantic import SecretStr

from codecove.doctor.finding import Finding, bad, good, warning
from codecove.models import models_url
from codecove.settings import Settings

_PATIENCE = 10.0


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """Ask each upstream for its models: that costs nothing, and shows whether the key is right."""
    if settings.upstream_url is None:
        yield good("upstream", "none: the built-in codecove/blocks answers (COVE_UPSTREAM_URL names a real model's)")
    else:
        yield await _ask("upstream", settings.upstream_url, settings.upstream_api_key)
    for route in settings.routes:
        yield await _ask(f"upstream of {route.model}", route.upstream_url, route.upstream_api_key)


async def _ask(part: str, base_url: str, key: SecretStr | None) -> Finding:
    headers = {"anthropic-version": "2023-06-01"}
    if key is not None:
        headers["x-api-key"] = key.get_secret_value()
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
            answer = await client.get(models_url(base_url), headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        return bad(part, f"{base_url}: {reason}", "Start that server, or correct its URL.")
    return _judge(part, base_url, answer)


def _judge(part: str, base_url: str, answer: httpx2.Response) -> Finding:
    found = f"{base_url} answers GET /v1/models with {answer.status_code}"
    if answer.status_code in (401, 403):
        return bad(part, found, "Set the right key: COVE_UPSTREAM_API_KEY, or upstream_api_key of the route.")
    if answer.status_code >= 500:
        return bad(part, found, "That server is in trouble: look at its log.")
    try:
        names = [str(model["id"]) for model in answer.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return warning(part, found, "It is there, but lists no models; requests may still work.")
    return good(part, f"{base_url}: {len(names)} models ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
