"""Running the requests of batches: each once, in its turn, with whatever comes of it as its result."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import structlog

from codecove import ids
from codecove.batches.places import Places
from codecove.batches.progress import Progress, Work
from codecove.clock import monotonic
from codecove.errors import CodecoveError, Overloaded, RateLimited, Unauthenticated, UpstreamError
from codecove.messages.fold import Folder
from codecove.messages.protocol import Event, PassedHeaders
from codecove.observe.metrics import Metrics
from codecove.store.tables import BatchRequestState
from codecove.workspaces import Caller

ATTEMPTS = 6
FIRST_WAIT = 1.0
MAX_WAIT = 300.0
"""Seconds; an upstream that asks for more patience is not asked again."""
_TRANSIENT = frozenset({429, 500, 504, 529})
_TROUBLE_WAIT = 5.0
"""Seconds after which a slice goes on when the database failed."""

log = structlog.stdlib.get_logger(__name__)


class Answers(Protocol):
    """Answers Messages requests, as `messages.service.Messages` does."""

    def stream(
        self, body: dict[str, Any], caller: Caller, *, headers: PassedHeaders, background: bool
    ) -> AsyncGenerator[Event, None]: ...


Envelope = Callable[[Exception, str], dict[str, Any]]
"""What a client is told of an error, with the id of the request: the API's error object."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a request: the `result` object of the API, and which kind it is."""

    outcome: BatchRequestState
    wire: dict[str, Any]


class Runner:
    """Runs slices of batches. `close` ends it."""

    def __init__(
        self,
        *,
        progress: Progress,
        answers: Answers,
        places: Places,
        envelope: Envelope,
        now: Callable[[], datetime],
        metrics: Metrics,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._progress = progress
        self._metrics = metrics
        self._answers = answers
        self._places = places
        self._envelope = envelope
        self._now = now
        self._sleep = sleep
        self._slices: set[asyncio.Task[Any]] = set()
        self._requests: set[asyncio.Task[Any]] = set()
        self._suspended_at: float | None = None

    async def run_slice(self, batch_id: str, first: int, end: int) -> None:
        """Run the requests from `first` to before `end` that have no result. It returns when all of them have one."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(batch_id=batch_id)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        self._slices.add(task)
        try:
            while not await self._tried(batch_id, first, end):
                await self._sleep(_TROUBLE_WAIT)
        finally:
            self._slices.discard(task)

    def suspend(self) -> None:
        """Begin nothing more."""
        self._places.close()
        self._suspended_at = self._suspended_at or monotonic()

    async def close(self, grace: float) -> None:
        """Let what runs end within `grace` seconds, counted from `suspend`, and cancel it then."""
        self.suspend()
        assert self._suspended_at is not None  # noqa: S101  # `suspend` has set it
        left = self._suspended_at + grace - monotonic()
        if self._requests:
            await asyncio.wait(self._requests, timeout=max(left, 0))
        for task in self._slices:
            task.cancel()
        if self._slices:
            await asyncio.wait(self._slices)

    async def _tried(self, batch_id: str, first: int, end: int) -> bool:
        """Whether the slice came to its end. A failing database must not end it: it would never be run again."""
        try:
            found = await self._progress.waiting(batch_id, first, end)
            if found is None:
                return True
            caller, numbers = found
            for number in numbers:
                async with self._places.place(caller.workspace_id, _limit_of(caller)):
                    # A task of its own, so that `close` can wait for what has begun and for nothing else.
                    request = asyncio.create_task(self._run(batch_id, number), name=f"{batch_id} {number}")
                    self._requests.add(request)
                    request.add_done_callback(self._requests.discard)
                    await _owned(request)
        except Exception:
            log.exception("a part of a batch failed; trying again", seconds=_TROUBLE_WAIT)
            return False
        return True

    async def _run(self, batch_id: str, number: int) -> None:
        work = await self._progress.begin(batch_id, number, self._now())
        if work is None:
            return
        request_id = ids.new("req")
        structlog.contextvars.bind_contextvars(request_id=request_id, batch_request=number)
        result = await self._result(replace(work, caller=replace(work.caller, request_id=request_id)), request_id)
        text = json.dumps(result.wire, separators=(",", ":"))
        while not await self._stored(batch_id, number, result.outcome, text):
            await self._sleep(_TROUBLE_WAIT)

    async def _stored(self, batch_id: str, number: int, outcome: BatchRequestState, text: str) -> bool:
        """Whether the result is in the database. What ran must not run again because that could not be reached."""
        try:
            is_first = await self._progress.finish(batch_id, number, outcome, text, self._now())
        except Exception:
            log.exception("the result of a batch's request could not be stored; trying again", seconds=_TROUBLE_WAIT)
            return False
        log.info("batch request", outcome=outcome)
        if is_first:
            self._metrics.ended_batched(outcome)
        return True

    async def _result(self, work: Work, request_id: str) -> Result:
        try:
            if work.key_revoked:
                raise Unauthenticated("The API key that created this batch has been revoked")
            message = await self._answered(work)
        except Exception as error:  # a bug of ours, too, is the result of this request alone
            if not isinstance(error, CodecoveError):
                log.exception("a batch's request failed unexpectedly")
            return Result("errored", {"type": "errored", "error": self._envelope(error, request_id)})
        return Result("succeeded", {"type": "succeeded", "message": message})

    async def _answered(self, work: Work) -> dict[str, Any]:
        """The message. A failure that may pass is tried again, as a client would, as long as no code has run."""
        params: dict[str, Any] = json.loads(work.text)["params"]
        headers = PassedHeaders(version=work.api_version, betas=work.betas)
        for attempt in range(1, ATTEMPTS + 1):
            folder = Folder()
            try:
                stream = self._answers.stream(params, work.caller, headers=headers, background=True)
                async with aclosing(stream) as events:
                    async for event in events:
                        folder.add(event)
            except CodecoveError as error:
                wait = wait_after(error, attempt)
                if wait is None or _has_run_code(folder):
                    raise
                log.warning("a batch's request failed; trying again", seconds=wait, error=type(error).__name__)
                await self._sleep(wait)
            else:
                return folder.message
        raise AssertionError("the last attempt has returned or raised")


def wait_after(error: CodecoveError, attempt: int) -> float | None:
    """Seconds to wait before a request that failed `attempt` times is tried again; None: never."""
    asked: float | None = None
    if isinstance(error, UpstreamError):
        if error.status not in _TRANSIENT:
            return None
        asked = error.retry_after
    elif isinstance(error, RateLimited):
        asked = error.retry_after
    elif not isinstance(error, Overloaded):
        return None
    if attempt >= ATTEMPTS:
        return None
    wait = FIRST_WAIT * 2 ** (attempt - 1) if asked is None else asked
    return wait if wait <= MAX_WAIT else None


def _has_run_code(folder: Folder) -> bool:
    return any(str(block.get("type", "")).endswith("_tool_result") for block in folder.content)


async def _owned(task: asyncio.Task[None]) -> None:
    """Await a task that ends with its caller."""
    try:
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _limit_of(caller: Caller) -> int | None:
    """How many executions and containers the caller may have at once: more requests would only wait for each other."""
    limits = [
        limit
        for quotas in (caller.quotas, caller.key_quotas)
        for limit in (quotas.executions, quotas.containers)
        if limit is not None
    ]
    return min(limits, default=None)
