"""The life of batches on both databases: they run, are cancelled, expire and go; their counts always add up."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, select

from codecove import clock
from codecove.api.errors import failure_of
from codecove.batches import durable
from codecove.batches.batch import Batch
from codecove.batches.intake import Submitted
from codecove.batches.pages import Asked
from codecove.batches.records import Records
from codecove.batches.service import Batches, Policy
from codecove.errors import Forbidden, InvalidRequest, NotFound, UpstreamError
from codecove.messages.protocol import Event, PassedHeaders
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.store.tables import BatchRequestRow, WorkspaceRow
from codecove.store.workspaces import Workspaces
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller, Quotas

HEADERS = PassedHeaders(version="2023-06-01", betas=("a-2025-01-01", "b"))


class Model:
    """Answers in place of the loop: each request when it is let go, or at once when `free`."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.begun: list[str] = []
        self.failures: list[Exception] = []
        self.headers: set[PassedHeaders] = set()
        self.callers: list[Caller] = []

    def check(self, body: dict[str, Any], headers: PassedHeaders) -> None:
        if not body.get("model"):
            raise InvalidRequest("model: Field required")

    async def stream(
        self, body: dict[str, Any], caller: Caller, *, headers: PassedHeaders, background: bool
    ) -> AsyncGenerator[Event, None]:
        assert background
        self.begun.append(body["model"])
        self.headers.add(headers)
        self.callers.append(caller)
        await self.free.wait()
        if self.failures:
            raise self.failures.pop(0)
        yield {"type": "message_start", "message": {"id": "msg_1", "model": body["model"], "content": []}}
        yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


class Site:
    """Batches that run, and the hands of their clock."""

    def __init__(self, database: Database, directory: Path, caller: Caller) -> None:
        self.database = database
        self.caller = caller
        self.model = Model()
        self.ahead = timedelta()
        self.storage = 10_000_000
        self._directory = directory

    def now(self) -> datetime:
        return clock.now() + self.ahead

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Batches]:
        async with Batches(
            database=self.database,
            directory=self._directory,
            messages=self.model,
            policy=Policy(
                concurrency=3,
                workspace_concurrency=2,
                expiry=60,
                results_days=1,
                workspace_storage=self.storage,
                grace=0.05,
            ),
            envelope=lambda error, request_id: failure_of(error).envelope(request_id),
            now=self.now,
        ) as batches:
            yield batches

    async def create(self, batches: Batches, size: int) -> Batch:
        return await batches.create(self.caller, entries(size), headers=HEADERS)

    async def until(self, batches: Batches, batch_id: str, *, done: int) -> Batch:
        """The batch when so many requests have a result; every look at it adds up."""
        async with asyncio.timeout(60):
            while True:
                batch = await batches.get(self.caller, batch_id)
                total = batch.counts.total
                async with self.database.read() as session:
                    states = list(
                        await session.scalars(select(BatchRequestRow.state).where(BatchRequestRow.batch_id == batch_id))
                    )
                assert total == len(states)
                if total - batch.counts.processing >= done:
                    return batch
                await asyncio.sleep(0.05)

    async def begun(self, number: int) -> None:
        async def enough() -> bool:
            return len(self.model.begun) >= number

        await eventually(enough)

    async def results(self, batches: Batches, batch_id: str) -> dict[str, dict[str, Any]]:
        text = b"".join([piece async for piece in batches.results(self.caller, batch_id)])
        lines = [json.loads(line) for line in text.splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        return {line["custom_id"]: line["result"] for line in lines}


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def entries(size: int, **changed: Any) -> AsyncGenerator[Submitted, None]:
    for number in range(size):
        value = {"custom_id": f"r{number}", "params": {"model": f"m{number}", "max_tokens": 1, **changed}}
        yield Submitted(json.dumps(value), value)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is looked at five times as often: nearly all of the time here would be waiting for the next look."""
    monkeypatch.setattr(durable, "_POLL_SECONDS", 0.1)


@pytest.fixture
async def site(database_url: URL, tmp_path: Path) -> AsyncIterator[Site]:
    async with Database(database_url) as database:
        _, key = await Keys(database).create("test")
        yield Site(database, tmp_path, Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id=key.id))


async def test_requests_run_within_their_limits_and_have_results(site: Site) -> None:
    async with site.running() as batches:
        batch = await site.create(batches, 7)
        assert batch.to_wire("http://x")["request_counts"]["processing"] == 7
        await site.begun(2)
        await asyncio.sleep(0.3)
        assert len(site.model.begun) == 2, "no more than the workspace may"
        with pytest.raises(InvalidRequest, match="in_progress"):
            await anext(batches.results(site.caller, batch.id))
        with pytest.raises(InvalidRequest, match="in_progress"):
            await batches.delete(site.caller, batch.id)
        site.model.failures = [UpstreamError("no", status=400, error_type="invalid_request_error"), KeyError("bug")]
        site.model.free.set()
        ended = await site.until(batches, batch.id, done=7)
        assert (ended.status, ended.counts.succeeded, ended.counts.errored) == ("ended", 5, 2)
        results = await site.results(batches, batch.id)
        errors = [result["error"] for result in results.values() if result["type"] == "errored"]
        assert {error["error"]["type"] for error in errors} == {"invalid_request_error", "api_error"}
        assert sorted(site.model.begun) == [f"m{number}" for number in range(7)], "each ran once"
        assert site.model.headers == {HEADERS}
        assert len({caller.request_id for caller in site.model.callers}) == 7
        await batches.delete(site.caller, batch.id)
        with pytest.raises(NotFound):
            await batches.get(site.caller, batch.id)


async def test_cancelling_lets_running_requests_end(site: Site) -> None:
    async with site.running() as batches:
        batch = await site.create(batches, 6)
        await site.begun(2)
        canceling = await batches.cancel(site.caller, batch.id)
        assert (canceling.status, canceling.counts.processing, canceling.counts.canceled) == ("canceling", 2, 4)
        assert (await batches.cancel(site.caller, batch.id)).cancel_initiated_at == canceling.cancel_initiated_at
        site.model.free.set()
        ended = await site.until(batches, batch.id, done=6)
        assert (ended.counts.succeeded, ended.counts.canceled) == (2, 4)
        results = await site.results(batches, batch.id)
        assert sorted(result["type"] for result in results.values()) == ["canceled"] * 4 + ["succeeded"] * 2


async def test_what_has_not_begun_expires_and_results_are_kept_for_a_time(site: Site) -> None:
    async with site.running() as batches:
        batch = await site.create(batches, 5)
        await site.begun(2)
        site.ahead = timedelta(seconds=61)
        batch = await site.until(batches, batch.id, done=3)
        assert (batch.status, batch.counts.expired) == ("in_progress", 3)
        site.model.free.set()
        ended = await site.until(batches, batch.id, done=5)
        assert (ended.counts.succeeded, ended.counts.expired) == (2, 3)
        site.ahead = timedelta(days=1, minutes=2)

        async def archived() -> bool:
            return (await batches.get(site.caller, batch.id)).archived_at is not None

        await eventually(archived)
        with pytest.raises(NotFound, match="no longer available"):
            await anext(batches.results(site.caller, batch.id))
        assert (await batches.get(site.caller, batch.id)).to_wire("http://x")["results_url"] is None


async def test_a_server_that_stops_suspends_and_the_next_one_goes_on(site: Site) -> None:
    async with site.running() as batches:
        batch = await site.create(batches, 4)
        await site.begun(2)
    assert len(site.model.begun) == 2
    site.model.free.set()
    async with site.running() as batches:
        assert (await batches.backlog()).waiting + len(site.model.begun) >= 2
        ended = await site.until(batches, batch.id, done=4)
        assert ended.counts.succeeded == 4
    assert len(site.model.begun) == 6, "the two that were in the middle ran again"


async def test_the_requests_of_a_revoked_key_do_not_run(site: Site) -> None:
    async with site.running() as batches:
        batch = await site.create(batches, 3)
        await site.begun(2)
        await Keys(site.database).revoke(site.caller.key_id)
        site.model.free.set()
        ended = await site.until(batches, batch.id, done=3)
        assert (ended.counts.succeeded, ended.counts.errored) == (2, 1)


async def test_a_batch_that_can_not_be_created_leaves_nothing(site: Site) -> None:
    async def broken() -> AsyncGenerator[Submitted, None]:
        async for entry in entries(1200):
            yield entry
        raise InvalidRequest("the client has gone")

    async with site.running() as batches:
        with pytest.raises(InvalidRequest, match="gone"):
            await batches.create(site.caller, broken(), headers=HEADERS)
        with pytest.raises(InvalidRequest, match=r"^requests\.0\.params\.stream: "):
            await batches.create(site.caller, entries(1, stream=True), headers=HEADERS)
        with pytest.raises(InvalidRequest, match=r"^requests\.0\.params\.model: "):
            await batches.create(site.caller, entries(1, model=""), headers=HEADERS)
        with pytest.raises(InvalidRequest, match=r"^requests: at least one"):
            await batches.create(site.caller, entries(0), headers=HEADERS)
        assert (await batches.list(site.caller, Asked())).data == []

        async def nothing_left() -> bool:
            async with site.database.read() as session:
                return (await session.scalars(select(BatchRequestRow.number))).all() == []

        await eventually(nothing_left)


async def test_lists_have_every_batch_once_in_both_generations(site: Site) -> None:
    site.model.free.set()
    async with site.running() as batches:
        made = [(await site.create(batches, 1)).id for _ in range(5)][::-1]
        first = await batches.list(site.caller, Asked(limit=2))
        wire = first.to_wire("http://x")
        assert ([batch["id"] for batch in wire["data"]], wire["has_more"]) == (made[:2], True)
        older = await batches.list(site.caller, Asked(limit=2, after_id=wire["last_id"]))
        newer = await batches.list(site.caller, Asked(limit=2, page=wire["next_page"]))
        assert [batch.id for batch in older.data] == [batch.id for batch in newer.data] == made[2:4]
        before = await batches.list(site.caller, Asked(limit=2, before_id=made[3]))
        assert [batch.id for batch in before.data] == made[1:3]
        stranger = Caller(workspace_id="wrkspc_01" + "x" * 22, key_id="k")
        assert (await batches.list(stranger, Asked())).data == []
        with pytest.raises(NotFound) as hidden:
            await batches.get(stranger, made[0])
        with pytest.raises(NotFound) as never:
            await batches.get(stranger, made[0][:-1] + "_")
        assert hidden.value.message.replace(made[0], "") == never.value.message.replace(made[0][:-1] + "_", "")
        for batch_id in made:
            await site.until(batches, batch_id, done=1)


async def test_no_variable_of_another_program_changes_where_the_queue_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.model.free.set()
    for name, value in (("PGHOSTADDR", "127.0.0.9"), ("PGSERVICE", "other"), ("PGOPTIONS", "-c nonsense=1")):
        monkeypatch.setenv(name, value)
    async with site.running() as batches:
        batch = await site.create(batches, 1)
        await site.until(batches, batch.id, done=1)


async def test_batches_take_room_in_the_storage_of_their_workspace_until_they_go(site: Site) -> None:
    async def stored() -> int:
        return (await Workspaces(site.database).get("default")).stored_bytes

    site.model.free.set()
    async with site.running() as batches:
        first = await site.create(batches, 20)
        size = await stored()
        assert size == sum([len(entry.text) async for entry in entries(20)])
        await site.until(batches, first.id, done=20)
    site.storage = size + 10
    async with site.running() as batches:
        with pytest.raises(Forbidden, match=r"^requests: the files and batches of a workspace may take"):
            await site.create(batches, 2)
        assert await stored() == size
        limited = replace(site.caller, key_quotas=Quotas(storage_bytes=size))
        with pytest.raises(Forbidden, match=r"^requests: the files and batches of this key may take"):
            await batches.create(limited, entries(1), headers=HEADERS)
        await batches.delete(site.caller, first.id)
        assert await stored() == 0
        last = await site.create(batches, 2)
        await site.until(batches, last.id, done=2)


async def test_results_are_read_in_pieces_of_a_bounded_size(site: Site) -> None:
    site.model.free.set()
    async with site.running() as batches:
        batch = await site.create(batches, 9)
        await site.until(batches, batch.id, done=9)
        records = Records(site.database)
        one = len((await records.results(batch.id, -1, limit=1, size=10_000))[0][2])
        for size, expected in ((1, 1), (one * 3 + 1, 3), (one * 100, 9)):
            read: list[int] = []
            while page := await records.results(batch.id, read[-1] if read else -1, limit=100, size=size):
                assert len(page) <= expected
                read += [number for number, _, _ in page]
            assert read == list(range(9))


async def test_a_deleted_workspace_takes_its_batches_with_it(site: Site) -> None:
    workspaces = Workspaces(site.database)
    team = await workspaces.create("team", Quotas())
    _, key = await Keys(site.database).create("team", workspace_id=team.id)
    site.caller = Caller(workspace_id=team.id, key_id=key.id)
    async with site.running() as batches:
        batch = await site.create(batches, 6)
        await site.begun(2)
        with pytest.raises(InvalidRequest, match="1 unfinished batches"):
            await workspaces.delete("team")
        await workspaces.delete("team", force=True)
        await batches.sweep()
        assert (await batches.get(site.caller, batch.id)).status == "canceling"
        site.model.free.set()
        await site.until(batches, batch.id, done=6)
        assert len(site.model.begun) == 2
        await batches.sweep()
        with pytest.raises(NotFound):
            await batches.get(site.caller, batch.id)
        async with site.database.read() as session:
            assert (await session.scalars(select(BatchRequestRow.number))).all() == []
            assert await session.scalar(select(WorkspaceRow.storage_bytes).where(WorkspaceRow.id == team.id)) == 0
