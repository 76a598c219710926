"""The client goes away: the upstream's stream is closed, the running program killed, the container free again."""

from collections.abc import Callable, Mapping

import httpx2
import pytest

from tests.e2e.conftest import body
from tests.support.script import Failure, Json, Turn, bash, say
from tests.support.server import GVISOR, Server, wait_until
from tests.support.sse import read_events
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.sandbox


@pytest.fixture
def server(server_with: Callable[[Mapping[str, str]], Server]) -> Server:
    return server_with(GVISOR)


# It leaves a mark while it runs, and a child that would do so too.
BUSY = "sh -c 'while :; do date +%s%N > /tmp/child; done' & while :; do date +%s%N > /tmp/parent; done"
# The brackets keep the search from finding itself.
PROCESSES = "grep -l -a 'date [+]%s%N' /proc/[0-9]*/cmdline | wc -l"
STILL = "cat /tmp/parent /tmp/child > /tmp/a; sleep 0.3; cat /tmp/parent /tmp/child | cmp - /tmp/a && echo still"


def run(http: httpx2.Client, upstream: ScriptedUpstream, command: str, container: str | None = None) -> tuple[str, str]:
    """A command's output, and the container it ran in."""
    upstream.script(Turn([bash(command)]), Turn([say("Done.")]))
    answer = http.post("/v1/messages", json=body(container=container)).json()
    return answer["content"][1]["content"]["stdout"], answer["container"]["id"]


def leave_after(server: Server, request: Json, event_type: str) -> None:
    """Read a stream up to an event of this kind, then close the connection."""
    with (
        httpx2.Client(base_url=server.url, headers=server.headers, timeout=60) as client,
        client.stream("POST", "/v1/messages", json=request) as response,
    ):
        for event in read_events(response.iter_lines()):
            if event["type"] == event_type:
                return


def test_a_client_that_leaves_during_an_execution_ends_it(
    http: httpx2.Client, server: Server, upstream: ScriptedUpstream
) -> None:
    _, container = run(http, upstream, "touch /tmp/parent /tmp/child")
    upstream.script(Turn([bash(BUSY)]))
    leave_after(server, body(container=container, stream=True), "content_block_stop")
    # The container is free again, or this would wait for the program that never ends.
    output, same = run(http, upstream, f"{PROCESSES}; {STILL}", container)
    assert same == container
    assert output == "0\nstill\n"


def test_a_client_that_leaves_without_streaming_ends_the_execution(
    http: httpx2.Client, server: Server, upstream: ScriptedUpstream
) -> None:
    _, container = run(http, upstream, "touch /tmp/parent /tmp/child")
    upstream.script(Turn([bash(BUSY)]))
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{server.url}/v1/messages", json=body(container=container), headers=server.headers, timeout=1.5)
    output, _ = run(http, upstream, f"{PROCESSES}; {STILL}", container)
    assert output == "0\nstill\n"


def test_a_client_that_leaves_during_the_models_turn_closes_the_upstream_stream(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(Turn([say("A text, and then nothing for long.")], failure=Failure(5, "stall", seconds=30)))
    leave_after(server, body(stream=True), "content_block_delta")
    wait_until(lambda: upstream.abandoned == 1, "the upstream's stream was not closed")
