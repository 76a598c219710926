"""Message Batches: what clients do with them, and their life beside the requests that come in."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

import structlog

from codecove import clock, ids
from codecove.batches.batch import OUTCOMES, Batch
from codecove.batches.durable import DurableQueue
from codecove.batches.intake import Intake, Submitted
from codecove.batches.pages import Asked, Page
from codecove.batches.places import Places
from codecove.batches.progress import Backlog, Progress
from codecove.batches.records import Entry, Records
from codecove.batches.runner import Answers, Envelope, Runner
from codecove.batches.upkeep import Upkeep
from codecove.errors import InvalidRequest, NotFound
from codecove.messages.protocol import PassedHeaders
from codecove.observe.metrics import Metrics
from codecove.store.database import Database
from codecove.store.finish import finish
from codecove.store.tables import BatchRow
from codecove.workspaces import Caller

_STORED_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 2**20
_SENT_AT_ONCE = 500
"""Results that are read together, if they are small; otherwise as many as have `_BYTES_AT_ONCE`."""
_TROUBLE_WAIT = 5.0
"""Seconds until a batch that could not be queued is tried again."""
_AHEAD = 4
"""Slices that a workspace has in hand for each place: the queue is asked for more only now and then."""

log = structlog.stdlib.get_logger(__name__)


class Messages(Answers, Protocol):
    """Checks and answers Messages requests, as `messages.service.Messages` does."""

    def check(self, body: dict[str, Any], headers: PassedHeaders) -> None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say of batches. Times are in seconds."""

    concurrency: int
    """Requests that run at once, of all workspaces."""
    workspace_concurrency: int
    expiry: float
    results_days: float
    workspace_storage: int
    """Bytes that any workspace may store, files and batches together."""
    grace: float
    """What requests that run get to end when the server stops."""


class Batches:
    """The batches of the workspaces. An async context manager: while it is entered, they run.

    Every method sees the caller's own workspace only.
    """

    def __init__(
        self,
        *,
        database: Database,
        directory: Path,
        messages: Messages,
        policy: Policy,
        envelope: Envelope,
        now: Callable[[], datetime] = clock.now,
        metrics: Metrics | None = None,
    ) -> None:
        """`directory` is for the durable queue's own file."""
        self._metrics = metrics or Metrics()
        for outcome in OUTCOMES:
            self._metrics.ended_batched(outcome, 0)  # so that all are there from the start
        self._records = Records(database)
        self._progress = Progress(database)
        self._messages = messages
        self._policy = policy
        self._now = now
        self._places = Places(total=policy.concurrency, each=policy.workspace_concurrency)
        self._runner = Runner(
            progress=self._progress,
            answers=messages,
            places=self._places,
            envelope=envelope,
            now=now,
            metrics=self._metrics,
        )
        self._queue = DurableQueue(
            address=database.address,
            directory=directory,
            at_once=_AHEAD * policy.workspace_concurrency,
            run=self._runner.run_slice,
        )
        self._upkeep = Upkeep(
            self._progress,
            self._queue,
            expiry=policy.expiry,
            results_days=policy.results_days,
            now=now,
            metrics=self._metrics,
        )
        self._queueing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        reopened = await self._progress.reopen(self._now())
        self._metrics.ended_batched("canceled", reopened.canceled)
        for batch_id, size, workspace_id in reopened.going_on:
            self._put(batch_id, workspace_id, size)
        await self._upkeep.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await finish(self._close())

    async def _close(self) -> None:
        await self._upkeep.__aexit__()
        await self._runner.close(self._policy.grace)
        for task in self._queueing:
            task.cancel()
        if self._queueing:
            await asyncio.wait(self._queueing)
        await self._queue.close()

    def suspend(self) -> None:
        """The server is about to stop: begin nothing more. What runs has its time to end from now on."""
        self._runner.suspend()

    async def create(self, caller: Caller, requests: AsyncIterator[Submitted], *, headers: PassedHeaders) -> Batch:
        """Store a batch, taking its requests as they come. If that fails or is cancelled, nothing of it is left.

        Raises `InvalidRequest` that names the request, `Forbidden` if the workspace or the key has no room for them,
        and whatever `requests` raises.
        """
        batch_id, now = ids.new("msgbatch"), self._now()
        row = BatchRow(
            id=batch_id,
            workspace_id=caller.workspace_id,
            key_id=caller.key_id,
            api_version=headers.version,
            betas=",".join(headers.betas),
            state="creating",
            created_at=now,
            expires_at=now,
            processing=0,
            queued=False,
        )
        try:
            await self._records.begin(row)
            size = await self._store(caller, batch_id, requests, headers)
            now = self._now()
            batch = await self._records.open(batch_id, size, now, now + timedelta(seconds=self._policy.expiry))
        except BaseException:
            await finish(self._give_up(batch_id))
            raise
        log.info("batch created", batch_id=batch_id, requests=size)
        self._put(batch_id, caller.workspace_id, size)
        return batch

    async def get(self, caller: Caller, batch_id: str) -> Batch:
        """Raises `NotFound`."""
        return await self._records.get(caller, batch_id)

    async def list(self, caller: Caller, asked: Asked) -> Page:
        """Batches, newest first. Raises `InvalidRequest` for an unknown cursor."""
        return await self._records.list(caller, asked)

    async def cancel(self, caller: Caller, batch_id: str) -> Batch:
        """Let what runs end, and nothing more begin. Raises `NotFound`."""
        batch, canceled = await self._records.cancel(caller, batch_id, self._now())
        self._metrics.ended_batched("canceled", canceled)
        return batch

    async def delete(self, caller: Caller, batch_id: str) -> None:
        """Raises `NotFound`; `InvalidRequest` for one that has not ended."""
        await self._records.delete(caller, batch_id, self._now())
        self._upkeep.soon()

    async def results(self, caller: Caller, batch_id: str) -> AsyncGenerator[bytes, None]:
        """The lines of the results, in pieces of whole lines.

        Raises, before the first piece: `NotFound`, also when they are no longer kept; `InvalidRequest` before the
        batch has ended.
        """
        batch = await self._records.get(caller, batch_id)
        if batch.status != "ended":
            raise InvalidRequest(
                f"Message Batch `{batch_id}` is still being processed (`{batch.status}`); it has results when it has "
                "ended"
            )
        if batch.archived_at is not None:
            raise NotFound(
                f"The results of Message Batch `{batch_id}` are no longer available: they are kept for "
                f"{self._policy.results_days:g} days"
            )
        last, sent = -1, 0
        while sent < batch.counts.total:
            page = await self._records.results(batch_id, last, limit=_SENT_AT_ONCE, size=_BYTES_AT_ONCE)
            if not page:
                raise RuntimeError("the batch was deleted while its results were being read")
            lines = (f'{{"custom_id":"{custom_id}","result":{result}}}\n' for _, custom_id, result in page)
            yield "".join(lines).encode()
            last, sent = page[-1][0], sent + len(page)

    async def sweep(self) -> None:
        """Do what is due now: expire, archive, remove. A chore of this object does it all the time."""
        await self._upkeep.sweep()

    async def backlog(self) -> Backlog:
        """How much there is to do, in all workspaces: for whoever watches the server."""
        return await self._progress.backlog()

    async def _store(
        self, caller: Caller, batch_id: str, requests: AsyncIterator[Submitted], headers: PassedHeaders
    ) -> int:
        intake = Intake(lambda params: self._messages.check(params, headers))
        entries: list[Entry] = []
        size = 0

        async def add(entries: list[Entry]) -> None:
            first = intake.count - len(entries)
            await self._records.add(caller, batch_id, first, entries, self._policy.workspace_storage)

        async for request in requests:
            entries.append(Entry(intake.take(request.value), request.text))
            size += len(request.text)
            if len(entries) >= _STORED_AT_ONCE or size >= _BYTES_AT_ONCE:
                await add(entries)
                entries, size = [], 0
        if entries:
            await add(entries)
        if not intake.count:
            raise InvalidRequest("requests: at least one request is required")
        return intake.count

    async def _give_up(self, batch_id: str) -> None:
        await self._records.abandon(batch_id, self._now())
        self._upkeep.soon()

    def _put(self, batch_id: str, workspace_id: str, size: int) -> None:
        """Queue a batch, without waiting for it. A server that is killed before that does it at its next start."""
        task = asyncio.create_task(self._queue_until_done(batch_id, workspace_id, size), name=f"queue {batch_id}")
        self._queueing.add(task)
        task.add_done_callback(self._queueing.discard)

    async def _queue_until_done(self, batch_id: str, workspace_id: str, size: int) -> None:
        while True:
            try:
                await self._queue.put(batch_id, workspace_id, size)
            except Exception:
                log.exception("a batch could not be queued; trying again", batch_id=batch_id, seconds=_TROUBLE_WAIT)
            else:
                return
            await asyncio.sleep(_TROUBLE_WAIT)
