"""One envelope for every failure, and a request-id on every answer."""

import re

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from codecove import errors
from tests.api.serving import make_app, serving

REQUEST_ID = re.compile(r"req_01[A-Za-z0-9]{22}")

FAILURES: list[tuple[Exception, int, str]] = [
    (errors.InvalidRequest("tools.0: no"), 400, "invalid_request_error"),
    (errors.Unauthenticated("no key"), 401, "authentication_error"),
    (errors.Forbidden("quota"), 403, "permission_error"),
    (errors.NotFound("file_x"), 404, "not_found_error"),
    (errors.TooLarge("big"), 413, "request_too_large"),
    (errors.RateLimited("slow down", retry_after=1.2), 429, "rate_limit_error"),
    (errors.Overloaded("full"), 529, "overloaded_error"),
    (errors.UpstreamError("late", status=504, error_type="timeout_error"), 504, "timeout_error"),
    (errors.CodecoveError("odd"), 500, "api_error"),
]


async def get(error: Exception | Response) -> httpx2.Response:
    async def endpoint(_: Request) -> Response:
        if isinstance(error, Response):
            return error
        raise error

    async with serving(make_app(Route("/", endpoint))) as url, httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(url)


@pytest.mark.parametrize(("error", "status", "error_type"), FAILURES)
async def test_each_failure_has_its_status_and_type(error: errors.CodecoveError, status: int, error_type: str) -> None:
    answer = await get(error)
    assert answer.status_code == status
    assert answer.json() == {
        "type": "error",
        "error": {"type": error_type, "message": error.message},
        "request_id": answer.headers["request-id"],
    }


def test_every_failure_of_the_tree_is_tested() -> None:
    assert {type(error) for error, _, _ in FAILURES} == {errors.CodecoveError, *errors.CodecoveError.__subclasses__()}


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited("slow down", retry_after=1.2),
        errors.UpstreamError("slow down", status=429, error_type="rate_limit_error", retry_after=1.2),
    ],
)
async def test_retry_after_is_passed_on_in_whole_seconds(error: Exception) -> None:
    assert (await get(error)).headers["retry-after"] == "2"


async def test_a_bug_is_a_500_that_says_nothing_of_itself() -> None:
    answer = await get(ZeroDivisionError("secret detail"))
    assert answer.status_code == 500
    assert answer.json()["error"] == {"type": "api_error", "message": "Internal server error"}
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["request-id"]


async def test_unknown_path_and_method_are_in_the_envelope() -> None:
    async def endpoint(_: Request) -> Response:
        return PlainTextResponse("ok")

    async with (
        serving(make_app(Route("/only", endpoint, methods=["GET"]))) as url,
        httpx2.AsyncClient(trust_env=False, base_url=url) as client,
    ):
        missing = await client.get("/v2/messages")
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
        assert "/v2/messages" in missing.json()["error"]["message"]
        wrong = await client.delete("/only")
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
        assert "DELETE" in wrong.json()["error"]["message"]
        assert "GET" in wrong.headers["allow"]
        slash = await client.get("/only/")
        assert slash.status_code == 404
        assert all(REQUEST_ID.fullmatch(answer.headers["request-id"]) for answer in (missing, wrong, slash))


async def test_every_answer_has_its_own_request_id() -> None:
    async def endpoint(_: Request) -> Response:
        return PlainTextResponse("ok")

    async with (
        serving(make_app(Route("/", endpoint))) as url,
        httpx2.AsyncClient(trust_env=False, headers={"request-id": "req_mine"}) as client,
    ):
        found = {(await client.get(url)).headers["request-id"] for _ in range(5)}
    assert len(found) == 5
    assert all(REQUEST_ID.fullmatch(request_id) for request_id in found)


async def test_a_body_that_breaks_off_breaks_the_connection() -> None:
    async def broken() -> object:
        yield b"some"
        raise ZeroDivisionError

    with pytest.raises(httpx2.RemoteProtocolError):
        await get(StreamingResponse(broken()))  # type: ignore[arg-type]
