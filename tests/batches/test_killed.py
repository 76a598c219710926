"""A batch goes on when its server is killed: each request has one result, and none that had one runs again."""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import URL, select

from codecove.demo.process import running_server, temporary_data_dir
from codecove.store.database import Database
from codecove.store.tables import BatchRequestRow, ExecutionRow
from tests.batches.mixed import AnsweringUpstream, call_ids, check, request
from tests.support.script import Json
from tests.support.server import KEY, leftovers, wait_until
from tests.support.upstream import running

pytestmark = pytest.mark.sandbox

HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
TEXT = "a,b\n1,2\n"
PATH = "/v1/messages/batches"


@pytest.fixture
def upstream() -> Iterator[AnsweringUpstream]:
    upstream = AnsweringUpstream()
    with running(upstream):
        yield upstream


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as directory:
        yield directory
        assert leftovers(directory) == []


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, data_dir: Path) -> AsyncIterator[URL]:
    """The database that the servers use."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(data_dir / "codecove.db"))
        return
    async with request.getfixturevalue("postgres").new_database() as url:
        yield url


@pytest.mark.parametrize(
    ("size", "kills", "runtime"),
    [(20, 1, "crun"), pytest.param(500, 10, "runsc", marks=[pytest.mark.soak, pytest.mark.timeout(0)])],
)
async def test_a_batch_outlives_its_servers(
    place: URL, data_dir: Path, upstream: AnsweringUpstream, size: int, kills: int, runtime: str
) -> None:
    settings = {
        "COVE_API_KEY": KEY,
        "COVE_UPSTREAM_URL": upstream.url,
        "COVE_UPSTREAM_API_KEY": "upstream-key",
        "COVE_RUNTIME": runtime,
        "COVE_CONTAINER_IDLE_EXPIRY": "30",
    }
    if place.get_backend_name() == "postgresql":
        settings["COVE_DATABASE_URL"] = place.render_as_string(hide_password=False)
    batch_id, finished, asked = "", dict[int, str | None](), Counter[int]()
    for turn in range(kills):
        with running_server(data_dir, settings) as server:
            async with client(server.url) as http:
                if not batch_id:
                    batch_id = await create(http, size)
                await progress(http, batch_id, until=size * (turn + 1) // (kills + 1))
                os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: server.exit_code is not None, "the server outlived SIGKILL")
        now = await results_in(place)
        assert {number: now[number] for number in finished} == finished, "a result is for good"
        assert all(upstream.asked[number] == asked[number] for number in finished), "what has a result runs no more"
        finished, asked = now, upstream.asked.copy()
    with running_server(data_dir, settings) as server:
        async with client(server.url) as http:
            await progress(http, batch_id, until=size)
            batch = (await http.get(f"{PATH}/{batch_id}")).json()
            lines = (await http.get(batch["results_url"])).text.splitlines()
    assert server.exit_code == 0
    check_results(batch, [json.loads(line) for line in lines], size)
    assert all(upstream.asked[number] == asked[number] for number in finished)
    assert upstream.asked.total() <= size + kills * 16, "only what was in the middle ran again"
    await check_meter(place, [json.loads(line)["result"] for line in lines], kills)


def client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers=HEADERS, timeout=60, trust_env=False)


async def create(http: httpx2.AsyncClient, size: int) -> str:
    file = await http.post("/v1/files", files={"file": ("a.csv", TEXT.encode(), "text/csv")})
    file_id = file.json()["id"]
    answer = await http.post(PATH, json={"requests": [request(number, file_id) for number in range(size)]})
    assert answer.status_code == 200, answer.text
    batch: Json = answer.json()
    assert batch["processing_status"] == "in_progress"
    return str(batch["id"])


async def progress(http: httpx2.AsyncClient, batch_id: str, *, until: int) -> None:
    """Wait until so many have a result. The counts sum to the size at every moment."""
    deadline = time.monotonic() + 60 + 4 * until
    total = None
    while True:
        batch = (await http.get(f"{PATH}/{batch_id}", params={"counts": "now"})).json()
        counts = batch["request_counts"]
        total = total or sum(counts.values())
        assert sum(counts.values()) == total
        if total - counts["processing"] >= until:
            assert batch["processing_status"] == ("ended" if until == total else batch["processing_status"])
            return
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(random.uniform(0.02, 0.2))


async def results_in(place: URL) -> dict[int, str | None]:
    """The requests that have a result, by the number in their custom id."""
    async with Database(place) as database, database.read() as session:
        rows = await session.scalars(select(BatchRequestRow).where(BatchRequestRow.result.is_not(None)))
        return {int(row.custom_id.split("-")[1]): row.result for row in rows}


def check_results(batch: Json, lines: list[Json], size: int) -> None:
    assert batch["processing_status"] == "ended"
    custom_ids = [line["custom_id"] for line in lines]
    assert len(custom_ids) == len(set(custom_ids)) == size
    ends = sum((check(line["custom_id"], line["result"], TEXT) for line in lines), Counter[str]())
    counts = batch["request_counts"]
    assert (counts["succeeded"], counts["errored"]) == (ends["succeeded"], ends["errored"])
    assert ends["succeeded"] + ends["errored"] == size == sum(counts.values())


async def check_meter(place: URL, results: list[Json], kills: int) -> None:
    """Every execution of a result is one row that has ended; other rows are of what a kill cut off."""
    async with Database(place) as database, database.read() as session:
        rows = {row.call_id: row for row in await session.scalars(select(ExecutionRow))}
    wanted = {call_id for result in results for call_id in call_ids(result)}
    assert wanted <= rows.keys()
    assert all(rows[call_id].finished_at and rows[call_id].error_code is None for call_id in wanted)
    assert len({rows[call_id].request_id for call_id in wanted}) == len(wanted)
    assert len(rows) - len(wanted) <= kills * 16
