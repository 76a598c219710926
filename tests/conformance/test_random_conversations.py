"""Conversations nobody thought of: whatever the model and the client do, every history upstream is valid.

The strict upstream refuses an invalid history, and every answer is parsed strictly and sent back.
"""

import json
import random
from collections.abc import Callable, Mapping

import anthropic
import pytest

from tests.conformance.conftest import asking
from tests.conformance.conversing import Client, Model
from tests.support.server import Server
from tests.support.upstream import ScriptedUpstream

SEEDS = 12
MANY = 1000
CHUNK = 50
FENCED = "fenced-1"

pytestmark = pytest.mark.sandbox


def converse(seed: int, server: Server, upstream: ScriptedUpstream) -> None:
    """One conversation."""
    chance = random.Random(seed)
    fenced = seed % 4 == 3
    model = Model(chance, fenced=fenced)
    for _ in range(3):
        upstream.script(*model.turns())
    with anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0, timeout=60) as client:
        ask = {"json": asking(client, "json"), "stream": asking(client, "stream")}
        Client(chance, ask, upstream, **({"model": FENCED} if fenced else {})).converse()
    assert upstream.violations == []


@pytest.fixture
def server(server_with: Callable[[Mapping[str, str]], Server], upstream: ScriptedUpstream) -> Server:
    route = {
        "model": "fenced-*",
        "upstream_url": upstream.url,
        "upstream_api_key": "upstream-key",
        "tool_calling": "fenced",
    }
    return server_with({"COVE_MAX_TURNS": "2", "COVE_ROUTES": json.dumps([route])})


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_conversation_is_valid_on_both_sides(seed: int, server: Server, upstream: ScriptedUpstream) -> None:
    converse(seed, server, upstream)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(SEEDS, SEEDS + MANY, CHUNK))
def test_a_thousand_conversations_are_valid_on_both_sides(
    first: int, server: Server, upstream: ScriptedUpstream
) -> None:
    for seed in range(first, first + CHUNK):
        try:
            converse(seed, server, upstream)
        except Exception as error:
            raise AssertionError(f"the conversation of seed {seed}") from error
        upstream.requests.clear()
