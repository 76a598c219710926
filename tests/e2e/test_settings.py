"""What the settings promise, seen from outside: the built-in model, routes, limits, a clean environment."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import NEWER, OLDER, body
from tests.support.script import Json, Turn, bash, python, say
from tests.support.server import GVISOR, Server, started, wait_until
from tests.support.upstream import KEY, ScriptedUpstream

pytestmark = pytest.mark.sandbox

ServerWith = Callable[[Mapping[str, str]], Server]


@pytest.fixture
def server(server_with: ServerWith) -> Server:
    return server_with(GVISOR)


def post(server: Server, request: Json) -> Json:
    response = httpx2.post(f"{server.url}/v1/messages", headers=server.headers, json=request, timeout=60)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def first_result(answer: Json) -> Json:
    content: Json = next(block["content"] for block in answer["content"] if block["type"].endswith("_tool_result"))
    return content


def test_without_an_upstream_the_built_in_model_runs_code_blocks() -> None:
    with started(GVISOR) as server:
        listed = httpx2.get(f"{server.url}/v1/models", headers=server.headers).json()
        assert [model["id"] for model in listed["data"]] == ["codecove/blocks"]
        message = {"role": "user", "content": "```python\nprint(6 * 7)\n```"}
        for tool in (OLDER, NEWER):
            answer = post(server, body(model="any-name", tools=[tool], messages=[message]))
            assert first_result(answer)["stdout"] == "42\n"
        plain = post(server, body(messages=[{"role": "user", "content": "Who are you?"}]))
        assert "no language model" in plain["content"][0]["text"]


def test_a_route_sends_a_model_to_its_own_upstream(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    config = tmp_path / "codecove.toml"
    config.write_text(
        "[[routes]]\n"
        'model = "small-*"\n'
        f'upstream_url = "{upstream.url}"\n'
        f'upstream_api_key = "{KEY}"\n'
        'upstream_model = "the-real-name"\n'
    )
    with started({"COVE_CONFIG": str(config)}) as server:
        upstream.script(Turn([say("Routed.")]))
        routed = post(server, body(model="small-1"))
        assert routed["content"][0]["text"] == "Routed."
        assert routed["model"] == "small-1"
        assert upstream.requests[0].body["model"] == "the-real-name"
        assert "codecove/blocks" in post(server, body(model="other"))["content"][0]["text"]


@pytest.mark.parametrize("limit", ["request", "server"])
@pytest.mark.parametrize("version", ["older", "newer"])
def test_code_that_takes_too_long_is_ended_with_the_versions_code(
    limit: str, version: str, server: Server, server_with: ServerWith, upstream: ScriptedUpstream
) -> None:
    older = version == "older"
    upstream.script(
        Turn([python("import time; time.sleep(60)") if older else bash("sleep 60")]), Turn([say("Too long.")])
    )
    request = body(tools=[OLDER if older else NEWER])
    if limit == "request":
        request["max_execution_duration"] = 1
    else:
        server = server_with({"COVE_EXECUTION_TIMEOUT": "1"})
    begin = time.monotonic()
    error = first_result(post(server, request))
    assert time.monotonic() - begin < 30
    assert error["error_code"] == ("code_execution_exceeded" if older else "execution_time_exceeded")
    assert error["error_message"]


def test_a_container_that_has_expired_says_so(server_with: ServerWith, upstream: ScriptedUpstream) -> None:
    server = server_with({"COVE_CONTAINER_IDLE_EXPIRY": "1"})
    upstream.script(Turn([bash("true")]), Turn([say("Done.")]))
    container = post(server, body())["container"]["id"]
    path = f"{server.url}/v1/containers/{container}"
    wait_until(
        lambda: httpx2.get(path, headers=server.headers).json()["state"] == "expired", "the container does not expire"
    )
    upstream.script(Turn([bash("true")]), Turn([say("Gone.")]))
    answer = post(server, body(container=container))
    assert first_result(answer)["error_code"] == "container_expired"


def test_the_environment_of_the_server_reaches_neither_code_nor_model(upstream: ScriptedUpstream) -> None:
    secrets = {"ANTHROPIC_API_KEY": "sk-secret-1", "ANTHROPIC_CUSTOM_HEADERS": "x-leak: 1", "OTHER_TOKEN": "secret-2"}
    with started({"COVE_UPSTREAM_URL": upstream.url, "COVE_UPSTREAM_API_KEY": KEY} | GVISOR | secrets) as server:
        upstream.script(Turn([bash("env; cat /proc/1/environ | tr '\\0' '\\n'")]), Turn([say("Done.")]))
        output = first_result(post(server, body()))["stdout"]
        assert "secret" not in output
        assert "COVE_" not in output
        assert "secret" not in str(upstream.requests[0].headers)
        assert "x-leak" not in upstream.requests[0].headers


def test_requests_at_once_have_their_own_containers_and_share_a_named_one(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(*[Turn([bash("true")]), Turn([say("Made.")])])
    container = post(server, body())["container"]["id"]

    def append(number: int) -> Json:
        message = {"role": "user", "content": f"number {number}"}
        return post(server, body(messages=[message], container=container))

    # Whichever request a turn goes to, it is the same: four calls, then four answers.
    upstream.script(*[Turn([bash("echo x >> /tmp/all; sleep 0.2; wc -l < /tmp/all")])] * 4, *[Turn([say("Done.")])] * 4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(append, range(4)))
    counts = [block["content"]["stdout"] for answer in answers for block in answer["content"] if "tool_use_id" in block]
    assert sorted(counts) == ["1\n", "2\n", "3\n", "4\n"]
    assert {answer["container"]["id"] for answer in answers} == {container}


@pytest.mark.parametrize("runtime", ["runsc", "crun"])
def test_either_runtime_gives_the_same(runtime: str, server_with: ServerWith, upstream: ScriptedUpstream) -> None:
    server = server_with({"COVE_RUNTIME": runtime})
    upstream.script(Turn([bash("id -un; echo $((6 * 7))")]), Turn([say("42")]))
    assert first_result(post(server, body()))["stdout"].endswith("42\n")
