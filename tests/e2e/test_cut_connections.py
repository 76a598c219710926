"""Connections cut at a random byte, on either side of the server: nothing leaks, and it answers the next request."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import body
from tests.support.cutting import Cut, CuttingProxy, Direction, Kind, cutting
from tests.support.script import Json, Step, Turn, bash, edit, say, think
from tests.support.server import Server, started
from tests.support.sse import check_order, read_events
from tests.support.upstream import ScriptedUpstream, running

# About what one request of a client sends and gets, and what the server sends the model for it and gets.
BEFORE: dict[Direction, int] = {"request": 600, "answer": 4000}
BEHIND: dict[Direction, int] = {"request": 12_000, "answer": 8000}
KINDS: tuple[Kind, ...] = ("reset", "end")
EXPIRING = {"COVE_CONTAINER_IDLE_EXPIRY": "2"}
TURNS = [
    Turn([think("I think.", "c2ln"), say("I run it. "), bash("echo out; echo err >&2")], chunk=20),
    Turn([edit(command="create", path="/tmp/a", file_text="x\n" * 50), bash("cat /tmp/a")], chunk=20),
    Turn([say("That is all. " * 5)], chunk=20),
]

pytestmark = pytest.mark.sandbox


def answer(request: Json) -> Step:
    """The turn that follows, for conversations that are cut anywhere."""
    answered = [message for message in request["messages"] if message["role"] == "assistant"]
    return TURNS[min(len(answered), 2)]


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Server, CuttingProxy, CuttingProxy]]:
    """A server, a proxy between it and its clients, and one between it and the model."""
    with running(ScriptedUpstream(answer)) as upstream:
        async with cutting(upstream.url) as behind:
            context = started({"COVE_UPSTREAM_URL": behind.url, "COVE_UPSTREAM_API_KEY": "upstream-key"} | EXPIRING)
            server = await asyncio.to_thread(context.__enter__)
            try:
                async with cutting(server.url) as before:
                    yield server, before, behind
            finally:
                # Checks that no process, mount, loop device or cgroup is left.
                await asyncio.to_thread(context.__exit__, None, None, None)
        assert upstream.violations == []


class Census:
    """What a server holds: descriptors, processes of sandboxes, containers, requests."""

    def __init__(self, server: Server, http: httpx2.AsyncClient) -> None:
        assert server.process is not None
        self._process = Path(f"/proc/{server.process.pid}")
        self._http = http

    async def settled(self) -> dict[str, int]:
        """The counts once every container has expired and every other request has ended."""
        async with asyncio.timeout(30):
            while (found := await self._take())["requests"] > 1 or found["containers"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return found

    async def settles_at(self, allowed: dict[str, int]) -> None:
        """Fails if the counts do not come down to these: the last sandboxes end a moment after their containers."""
        found = await self.settled()
        for _ in range(50):
            if all(found[what] <= count for what, count in allowed.items()):
                return
            await asyncio.sleep(0.2)
            found = await self.settled()
        raise AssertionError(f"left over: {allowed} → {found}")

    async def _take(self) -> dict[str, int]:
        running = (await self._http.get("/v1/containers", params={"state": "running", "limit": 100})).json()
        metrics = (await self._http.get("/metrics")).text
        requests = re.search(r"^codecove_http_requests_running (\S+)", metrics, re.MULTILINE)
        assert requests is not None
        return {
            "containers": len(running["data"]),
            "requests": int(float(requests[1])),
            "descriptors": len(list((self._process / "fd").iterdir())),
            "children": len((self._process / "task" / self._process.name / "children").read_text().split()),
        }


def client_of(server: Server, url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers=server.headers, timeout=60, trust_env=False)


async def ask(http: httpx2.AsyncClient, *, stream: bool) -> str:
    """What came of one request: `whole`, `error` or `cut`. Anything else that a client could see is a failure."""
    try:
        got = await http.post("/v1/messages", json=body(stream=stream))
        text = got.text
    except httpx2.HTTPError:
        return "cut"
    if got.status_code != 200:
        # Of a fault of our own, a 500 too, it would say nothing.
        assert "The model's server" in got.json()["error"]["message"], text
        return "error"
    if not stream:
        assert json.loads(text)["stop_reason"] == "end_turn"
        return "whole"
    if "content-length" not in got.headers and not text.endswith("\n\n"):
        return "cut"
    events = list(read_events(text.split("\n")))
    if events[-1]["type"] == "error":
        return "error"
    if events[-1]["type"] != "message_stop":
        return "cut"
    check_order(events)
    return "whole"


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.soak)])
async def test_a_connection_cut_at_any_byte_leaks_nothing(rounds: int) -> None:
    chance = random.Random(rounds)

    def cut(most: dict[Direction, int]) -> Cut:
        direction: Direction = "request" if chance.random() < 0.25 else "answer"
        return Cut(direction, chance.randrange(most[direction]), chance.choice(KINDS))

    async with site() as (server, before, behind):
        async with client_of(server, server.url) as direct:
            assert await ask(direct, stream=True) == "whole"
            census = Census(server, direct)
            at_first = await census.settled()
            outcomes = {"whole": 0, "error": 0, "cut": 0}
            for number in range(rounds):
                side, most = (before, BEFORE) if number % 2 else (behind, BEHIND)
                side.cut(cut(most))
                async with client_of(server, before.url) as http:
                    outcomes[await ask(http, stream=chance.random() < 0.7)] += 1
                side.cut(None)
                if number % 10 == 9:
                    assert await ask(direct, stream=False) == "whole"
            assert min(before.cuts, behind.cuts) > rounds / 6, "hardly anything was cut"
            assert outcomes["whole"] < rounds
            # The connections to the model that are kept for the next turn.
            await census.settles_at(at_first | {"descriptors": at_first["descriptors"] + 3})
        assert "Traceback" not in (server.process.log if server.process else "")
