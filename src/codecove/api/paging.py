"""The query of a list: `limit`, `before_id`, `after_id`."""

from starlette.requests import Request

from codecove.containers.pages import DEFAULT_LIMIT, Asked
from codecove.errors import InvalidRequest


def asked(request: Request) -> Asked:
    """Which part of the list the request is for. Raises `InvalidRequest`."""
    query = request.query_params
    return Asked(limit=_limit(query.get("limit")), before_id=query.get("before_id"), after_id=query.get("after_id"))


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidRequest("limit: Input should be a valid integer")
    return int(value)
