"""/v1/usage: what was used, summed or row by row."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from codecove import clock
from codecove.api.auth import authorise
from codecove.api.body import encode_json
from codecove.api.services import services
from codecove.errors import Forbidden, InvalidRequest
from codecove.usage.export import What
from codecove.usage.query import DEFAULT_LIMIT, DIMENSIONS, Dimension, Span, check_limit
from codecove.usage.report import Report
from codecove.workspaces import Caller

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_NAMES = frozenset({"starting_at", "ending_at", "workspace", "limit", "page", "format"})


async def _report(request: Request) -> Response:
    caller = await authorise(request)
    _check_names(request, _NAMES | {"group_by", "group_by[]"})
    span, dimensions = _span(request, caller), _dimensions(request)
    limit, page = _limit(request), request.query_params.get("page")
    report = await services(request).usage.reports.make(span, dimensions)
    if _format(request, "csv", "text/csv") == "csv":
        return Response(_csv(report), media_type="text/csv")
    return Response(encode_json(report.to_wire(limit=limit, page=page)), media_type="application/json")


async def _rows(request: Request, what: What) -> Response:
    caller = await authorise(request)
    _check_names(request, _NAMES)
    export, span = services(request).usage.rows, _span(request, caller)
    limit, page = _limit(request), request.query_params.get("page")
    if _format(request, "jsonl", "application/x-ndjson", "application/jsonl") == "jsonl":
        return StreamingResponse(_lines(export.all(what, span)), media_type="application/x-ndjson")
    rows = await export.page(what, span, limit=limit, page=page)
    return Response(encode_json(rows.to_wire()), media_type="application/json")


async def _lines(rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for row in rows:
        yield encode_json(row) + b"\n"


def _check_names(request: Request, known: frozenset[str]) -> None:
    """One that is misspelt would be answered with figures of another time."""
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(f"{name[:100]}: there is no such parameter; there are {', '.join(sorted(known))}")


def _span(request: Request, caller: Caller) -> Span:
    """By default what began this month, in the caller's workspace."""
    query, now = request.query_params, clock.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    wanted = query.get("workspace")
    if wanted not in (None, "all"):
        raise InvalidRequest("workspace: Input should be 'all'; a certain one is named by the header x-cove-workspace")
    if wanted == "all" and caller.role != "admin":
        raise Forbidden("workspace: only the key of an admin may see all workspaces")
    return Span(
        start=_moment(query.get("starting_at"), "starting_at", month),
        end=_moment(query.get("ending_at"), "ending_at", now),
        workspace_id=None if wanted == "all" else caller.workspace_id,
    )


def _moment(given: str | None, name: str, default: datetime) -> datetime:
    if given is None:
        return default
    try:
        # A `+` that was not percent-encoded has become a space.
        moment = datetime.fromisoformat(given.replace(" ", "+"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name}: Input should be a date or a moment, such as 2026-07-30T18:54:08Z") from None
    if not 1970 <= moment.year < 9999:
        raise InvalidRequest(f"{name}: the year must be from 1970 to 9998")
    return moment


def _dimensions(request: Request) -> list[Dimension]:
    query = request.query_params
    given = [name for key in ("group_by", "group_by[]") for text in query.getlist(key) for name in text.split(",")]
    wanted = [name.strip() for name in given if name.strip()] if given else ["day"]
    if unknown := [name for name in wanted if name not in DIMENSIONS]:
        raise InvalidRequest(f"group_by: {unknown[0]!r} is none of {', '.join(DIMENSIONS)}")
    return cast("list[Dimension]", wanted)


def _limit(request: Request) -> int:
    given = request.query_params.get("limit")
    if given is None:
        return DEFAULT_LIMIT
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise InvalidRequest("limit: Input should be a valid integer")
    return check_limit(int(given))


def _format(request: Request, other: str, *media_types: str) -> str:
    """`json`, or the other one: as the query says, or else the header."""
    given = request.query_params.get("format")
    if given is None:
        accepted = request.headers.get("accept", "").lower()
        return other if any(media_type in accepted for media_type in media_types) else "json"
    if given not in ("json", other):
        raise InvalidRequest(f"format: Input should be 'json' or '{other}'")
    return given


def _csv(report: Report) -> str:
    """Every group, under a line with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(report.columns)
    for row in report.rows():
        writer.writerow([_cell(row[name]) for name in report.columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6f}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


ROUTES = [
    Route("/v1/usage", _report, methods=["GET"]),
    Route("/v1/usage/executions", partial(_rows, what="executions"), methods=["GET"]),
    Route("/v1/usage/sessions", partial(_rows, what="sessions"), methods=["GET"]),
]
