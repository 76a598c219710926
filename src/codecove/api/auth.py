"""Who is asking, and in which version of the API."""

from dataclasses import replace

from starlette.requests import HTTPConnection

from codecove.api.services import services
from codecove.errors import InvalidRequest, Unauthenticated
from codecove.workspaces import Caller

API_VERSIONS = ("2023-06-01", "2026-10-21")
"""What clients send: the second is that of the official ones since October 2026. Nothing here differs between them."""


async def authorise(request: HTTPConnection) -> Caller:
    """The caller whose key the request carries. Every endpoint below `/v1` begins with this.

    The key of an admin works in the workspace that the header `x-cove-workspace` names, by id or name. The answer to
    a caller with a quota of requests says what is left of that, whatever becomes of the request.

    Raises `Unauthenticated`; `Forbidden` for that header with another key, `NotFound` for one that names nothing;
    `InvalidRequest` for a missing or unknown `anthropic-version`; `RateLimited`.
    """
    parts = services(request)
    caller = replace(await parts.keys.authenticate(_secret(request)), request_id=request.state.request_id)
    if (workspace := request.headers.get("x-cove-workspace")) is not None:
        caller = await parts.workspaces.enter(caller, workspace)
    try:
        parts.rates.admit(caller)
    finally:
        if (standing := parts.rates.standing(caller)) is not None:
            request.state.answer_headers = standing.headers()
    version = request.headers.get("anthropic-version")
    if not version:
        raise InvalidRequest("anthropic-version: header is required")
    if version not in API_VERSIONS:
        raise InvalidRequest(f'anthropic-version: "{version}" is not a valid version; use "{API_VERSIONS[-1]}"')
    if request.scope["path"].startswith("/v1/files") and services(request).settings.require_beta_header:
        _require_files_beta(request)
    return caller


def _require_files_beta(request: HTTPConnection) -> None:
    if not any(name.startswith("files-api-") for name in betas(request)):
        raise InvalidRequest("anthropic-beta: the Files API needs this header with `files-api-2025-04-14`")


def _secret(request: HTTPConnection) -> str:
    if key := request.headers.get("x-api-key"):
        return key.strip()
    if (token := bearer_token(request)) is not None:
        return token
    raise Unauthenticated("x-api-key header is required")


def bearer_token(request: HTTPConnection) -> str | None:
    """What `authorization: Bearer …` has, if the request has that."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def betas(request: HTTPConnection) -> list[str]:
    """The beta names of all `anthropic-beta` headers, which may be repeated and comma-separated."""
    joined = ",".join(request.headers.getlist("anthropic-beta"))
    return [name for part in joined.split(",") if (name := part.strip())]
