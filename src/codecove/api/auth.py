"""Who is asking, and in which version of the API."""

from starlette.requests import Request

from codecove.api.services import services
from codecove.errors import InvalidRequest, Unauthenticated
from codecove.workspaces import Caller

API_VERSIONS = ("2023-06-01", "2026-10-21")
"""What clients send: the second is that of the official ones since October 2026. Nothing here differs between them."""


async def authorise(request: Request) -> Caller:
    """The caller whose key the request carries. Every endpoint below `/v1` begins with this.

    Raises `Unauthenticated`, or `InvalidRequest` for a missing or unknown `anthropic-version`.
    """
    caller = await services(request).keys.authenticate(_secret(request))
    version = request.headers.get("anthropic-version")
    if not version:
        raise InvalidRequest("anthropic-version: header is required")
    if version not in API_VERSIONS:
        raise InvalidRequest(f'anthropic-version: "{version}" is not a valid version; use "{API_VERSIONS[-1]}"')
    return caller


def _secret(request: Request) -> str:
    if key := request.headers.get("x-api-key"):
        return key.strip()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    raise Unauthenticated("x-api-key header is required")


def betas(request: Request) -> list[str]:
    """The beta names of all `anthropic-beta` headers, which may be repeated and comma-separated."""
    joined = ",".join(request.headers.getlist("anthropic-beta"))
    return [name for part in joined.split(",") if (name := part.strip())]
