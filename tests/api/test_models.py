"""The list of models: routes by name, upstreams by what they list, in the API's own form."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from codecove.errors import NotFound
from codecove.models import BUILT_IN, Models, models_url
from codecove.settings import Route, Settings
from tests.api.serving import serving

OTHER_SERVERS_LIST = {"object": "list", "data": [{"id": "qwen/small", "object": "model", "created": 1753900448}]}
CLAUDE = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2026-01-01T00:00:00Z"}


def upstream(answer: Any, *, key: str = "") -> Starlette:
    async def models(request: Request) -> Response:
        if key and request.headers.get("x-api-key") != key:
            return JSONResponse({"type": "error"}, 401)
        return JSONResponse(answer)

    return Starlette(routes=[HttpRoute("/v1/models", models)])


async def listed(**settings: Any) -> list[dict[str, Any]]:
    async with Models(Settings(**settings)) as models:
        return await models.list()


async def test_without_upstream_there_is_the_built_in_model() -> None:
    assert [model["id"] for model in await listed()] == [BUILT_IN]


async def test_other_servers_lists_are_put_into_the_apis_form() -> None:
    async with serving(upstream(OTHER_SERVERS_LIST, key="k")) as url:
        found = await listed(upstream_url=url, upstream_api_key="k")
    assert found == [
        {"type": "model", "id": "qwen/small", "display_name": "qwen/small", "created_at": "2025-07-30T18:34:08Z"}
    ]


@pytest.mark.parametrize("created", [None, "yesterday", -1, 10**30])
async def test_creation_time_that_is_none_is_the_epoch(created: object) -> None:
    async with serving(upstream({"data": [{"id": "a", "created": created}]})) as url:
        assert (await listed(upstream_url=url))[0]["created_at"] == "1970-01-01T00:00:00Z"


async def test_routes_come_first_and_patterns_take_what_fits() -> None:
    async with (
        serving(upstream({"data": [CLAUDE, {"id": "other"}]})) as url,
        serving(upstream(OTHER_SERVERS_LIST)) as second,
    ):
        routes = [Route(model="named", upstream_url=url), Route(model="claude-*", upstream_url=url)]
        found = await listed(routes=routes, upstream_url=second)
        assert [model["id"] for model in found] == ["named", "claude-x", "qwen/small"]
        assert found[1] == CLAUDE


@pytest.mark.parametrize("answer", [[], {"data": None}, {"data": [{}]}, {"data": ["x"]}, {"data": [{"id": 1}]}])
async def test_upstream_that_lists_nothing_useful_is_left_out(answer: Any) -> None:
    async with serving(upstream(answer)) as url:
        assert await listed(upstream_url=url) == []


async def test_upstream_that_refuses_or_is_gone_is_left_out() -> None:
    async with serving(upstream(OTHER_SERVERS_LIST, key="k")) as url:
        assert await listed(upstream_url=url, upstream_api_key="wrong") == []
    assert await listed(upstream_url=url) == []


async def test_one_model_is_found_by_its_id() -> None:
    async with Models(Settings()) as models:
        assert (await models.get(BUILT_IN))["id"] == BUILT_IN
        with pytest.raises(NotFound):
            await models.get("claude-x")


def test_upstream_url_may_end_in_v1() -> None:
    assert models_url("http://a/v1/") == models_url("http://a") == "http://a/v1/models"
