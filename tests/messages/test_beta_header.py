"""Beta headers: never asked for by default, asked for if the operator says so."""

from collections.abc import Callable, Mapping

import httpx2
import pytest

from codecove.errors import InvalidRequest
from codecove.messages.request import parse, require_beta
from tests.messages.support import CLIENT_TOOL, NEWER, OLDER
from tests.support.server import Server

LATER = {"type": "code_execution_20260120", "name": "code_execution"}


def check(betas: list[str], *tools: dict[str, object]) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    require_beta(parse({"model": "m", "messages": messages, "tools": list(tools)}), betas)


@pytest.mark.parametrize(
    ("tool", "beta"),
    [
        (OLDER, "code-execution-2025-05-22"),
        (OLDER, "code-execution-2025-08-25"),
        (NEWER, "code-execution-2025-08-25"),
        (LATER, "code-execution-2025-08-25"),
        (LATER, "code-execution-2026-01-20"),
    ],
)
def test_the_header_of_the_version_or_a_later_one_does(tool: dict[str, object], beta: str) -> None:
    check(["files-api-2025-04-14", beta], tool)


@pytest.mark.parametrize("betas", [[], ["files-api-2025-04-14"], ["code-execution-2025-05-22"]])
def test_without_it_the_error_names_it(betas: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=r"^tools\.1: .*code_execution_20250825.* code-execution-2025-08-25`$"):
        check(betas, CLIENT_TOOL, NEWER)


def test_requests_without_our_tool_need_none() -> None:
    check([], CLIENT_TOOL)


@pytest.mark.sandbox
def test_a_server_asks_for_it_if_it_is_told_to(server_with: Callable[[Mapping[str, str]], Server]) -> None:
    server = server_with({"COVE_REQUIRE_BETA_HEADER": "true"})
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}], "tools": [NEWER]}
    with httpx2.Client(base_url=server.url, headers=server.headers) as http:
        for refused in (http.post("/v1/messages/count_tokens", json=body), http.get("/v1/files")):
            assert refused.status_code == 400
            assert "anthropic-beta" in refused.json()["error"]["message"]
        betas = {"anthropic-beta": "code-execution-2025-08-25,files-api-2025-04-14"}
        assert http.post("/v1/messages/count_tokens", json=body, headers=betas).status_code == 200
        assert http.get("/v1/files", headers=betas).status_code == 200
        assert http.get("/v1/models").status_code == 200
