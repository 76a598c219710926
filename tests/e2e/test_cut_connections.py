"""Connections cut at a random byte, on either side of the server: nothing leaks, and it answers the next request."""

import asyncio
import contextlib
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
        """The counts once every container has expired, every other request has ended and the pool is filled again.

        Then the only sandboxes are those of the pool; while one starts or ends, there are more or fewer.
        """
        found: dict[str, int] = {}
        try:
            async with asyncio.timeout(60):
                while not _is_settled(found := await self._take()):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"left over: {found}\n" + "\n".join(self._everything())) from None
        return found

    async def settles_at(self, descriptors: int) -> None:
        """Fails if more descriptors than these stay open."""
        found = await self.settled()
        assert found["descriptors"] <= descriptors, f"left over: {found}\n" + "\n".join(self._everything())

    def _everything(self) -> list[str]:
        """Each child by its command, each descriptor by what it is open on; a socket by its line of the kernel's."""
        lines = [f"child {child}: {_read(Path('/proc', child, 'cmdline'))}" for child in self._children()]
        tables = [self._process / "net" / name for name in ("tcp", "unix")]
        sockets = "\n".join(table.read_text() for table in tables).splitlines()
        for descriptor in (self._process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                inode = target.removeprefix("socket:[").removesuffix("]")
                lines.append(f"{descriptor.name}: {target} {[line for line in sockets if inode in line.split()]}")
        return lines

    def _children(self) -> list[str]:
        """Of every thread, as it is one of them that starts a program."""
        found: list[str] = []
        for thread in (self._process / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += (thread / "children").read_text().split()
        return found

    async def _take(self) -> dict[str, int]:
        running = (await self._http.get("/v1/containers", params={"state": "running", "limit": 100})).json()
        metrics = (await self._http.get("/metrics")).text
        gauges = dict(re.findall(r"^(codecove_\w+) (\S+)$", metrics, re.MULTILINE))
        return {
            "containers": len(running["data"]),
            "requests": int(float(gauges["codecove_http_requests_running"])),
            "pool": int(float(gauges["codecove_pool_size"])),
            "wanted": int(float(gauges["codecove_pool_wanted"])),
            "descriptors": len(list((self._process / "fd").iterdir())),
            "children": len(self._children()),
        }


def _is_settled(found: dict[str, int]) -> bool:
    """The request that counts is one itself."""
    alone = found["requests"] == 1 and found["containers"] == 0
    return alone and found["pool"] == found["wanted"] == found["children"]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes().replace(bytes(1), b" ").decode(errors="replace")
    return "gone"


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


@pytest.mark.parametrize("rounds", [12, pytest.param(200, marks=pytest.mark.soak)])
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
            await census.settles_at(at_first["descriptors"] + 3)
        assert "Traceback" not in (server.process.log if server.process else "")
