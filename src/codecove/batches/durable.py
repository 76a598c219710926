"""The durable queue: which requests of which batch are still to be run, whatever happens to the server.

DBOS Transact keeps it, in an SQLite file beside ours or in a schema of its own (`dbos`) in our PostgreSQL. A workflow
is a slice of a batch. One that a killed server was running is dequeued again as soon as the queue is opened.
DBOS exists once in a process, and so may this.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine

from codecove.store.address import Address
from codecove.store.finish import finish

if TYPE_CHECKING:
    from dbos import DBOSConfig

SLICES = 1000
"""Of a batch, at most. Each costs the queue a few milliseconds, so that size matters little."""

_NAME = "codecove"
_QUEUE = "batches"
_VERSION = "1"
"""Of what a slice means. Servers take up only those of their own version: so it changes when that does."""
_POLL_SECONDS = 0.5
_NOTICE_SECONDS = 0.1
"""How often its listener, which has nothing to listen to here, looks whether it is to end: stopping waits for that."""
_CONNECTIONS = 4
_THREADS = 4

RunSlice = Callable[[str, int, int], Awaitable[None]]
"""Run the requests of a batch from a number to before another. It returns when all of them have results."""


class DurableQueue:
    """Hands slices of batches to `run`, on the event loop that opened the queue, until that returns.

    Slices of one workspace are handed out in order, `at_once` at a time; workspaces do not wait for each other.
    """

    def __init__(self, *, address: Address, directory: Path, at_once: int, run: RunSlice) -> None:
        """`directory` is for the SQLite file."""
        self._address = address
        self._file = directory / "batches.db"
        self._at_once = at_once
        self._run = run
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workflow: Any = None
        self._engine: Engine | None = None

    async def put(self, batch_id: str, workspace_id: str, size: int) -> None:
        """Queue a batch of `size` requests. What is in the queue already, or has run, is not queued again."""
        await self._open()
        await finish(asyncio.to_thread(self._put, batch_id, workspace_id, size))

    async def remove(self, batches: Mapping[str, int]) -> None:
        """Forget batches that are over; the values are their sizes."""
        await self._open()
        await finish(asyncio.to_thread(_remove, batches))

    async def close(self) -> None:
        """Stop handing out. What `run` has not ended is cancelled, and handed out again when a queue is next opened."""
        async with self._opening:
            loop, self._loop = self._loop, None
            if loop is not None:
                await finish(asyncio.to_thread(self._stop))

    async def _open(self) -> None:
        """Open it when it is first needed: most servers never have a batch, and it costs half a second."""
        async with self._opening:
            if self._loop is not None:
                return
            self._loop = asyncio.get_running_loop()
            try:
                await finish(asyncio.to_thread(self._start))
            except Exception:
                self._loop = None
                await finish(asyncio.to_thread(self._stop))
                raise

    def _start(self) -> None:
        # Before it is imported: with a handler there it adds none of its own, and its lines come to ours.
        log = logging.getLogger("dbos")
        log.addHandler(logging.NullHandler())
        log.addFilter(_is_no_suspension)
        from dbos import DBOS  # noqa: PLC0415  # see `_open`

        async def run_slice(batch_id: str, first: int, end: int) -> None:
            loop = self._loop
            if loop is None:
                raise asyncio.CancelledError
            running = asyncio.run_coroutine_threadsafe(_awaited(self._run(batch_id, first, end)), loop)
            await asyncio.wrap_future(running)

        DBOS(config=self._config())
        # A restart in the middle of a slice is no fault of the slice, however often.
        self._workflow = DBOS.workflow(name="run_slice", max_recovery_attempts=None)(run_slice)
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            partition_worker_concurrency=self._at_once,
            polling_interval_sec=_POLL_SECONDS,
            on_conflict="always_update",
        )

    def _stop(self) -> None:
        from dbos import DBOS  # noqa: PLC0415

        DBOS.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()

    def _config(self) -> "DBOSConfig":
        config: DBOSConfig = {
            "name": _NAME,
            "application_version": _VERSION,
            # The same for every server that comes after this one: it takes up what this one leaves.
            "executor_id": _NAME,
            "enable_otlp": False,
            "log_level": "WARNING",
            "max_executor_threads": _THREADS,
            "sys_db_pool_size": _CONNECTIONS,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": _NOTICE_SECONDS,
        }
        if self._address.is_sqlite:
            with sqlite3.connect(self._file) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.close()
            config["system_database_url"] = f"sqlite:///{self._file}"
        else:
            # libpq would take from them what the URL leaves out, another server's address too. Nothing here reads them.
            for name in [name for name in os.environ if name.startswith("PG")]:
                del os.environ[name]
            url = self._address.blocking()
            config["system_database_url"] = url.render_as_string(hide_password=False)
            self._engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
            config["system_database_engine"] = self._engine
        return config

    def _put(self, batch_id: str, workspace_id: str, size: int) -> None:
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID  # noqa: PLC0415

        for number, (first, end) in enumerate(slices(size)):
            with SetWorkflowID(_slice_id(batch_id, number)), SetEnqueueOptions(queue_partition_key=workspace_id):
                DBOS.enqueue_workflow(_QUEUE, self._workflow, batch_id, first, end)


def slices(size: int) -> list[tuple[int, int]]:
    """A batch cut into slices: each from a number to before another. Small batches run all their requests at once."""
    step = -(-size // SLICES)
    return [(first, min(first + step, size)) for first in range(0, size, step)] if size else []


def _slice_id(batch_id: str, number: int) -> str:
    return f"{batch_id}-{number}"


def _remove(batches: Mapping[str, int]) -> None:
    from dbos import DBOS  # noqa: PLC0415

    for batch_id, size in batches.items():
        DBOS.delete_workflows([_slice_id(batch_id, number) for number in range(len(slices(size)))])


def _is_no_suspension(record: logging.LogRecord) -> bool:
    """It warns of every workflow that is cancelled, which is how a server that stops leaves them to the next one."""
    return not record.getMessage().startswith("Asyncio task cancelled")


async def _awaited(work: Awaitable[None]) -> None:
    await work
