"""All kinds of transactions at once on few rows: none waits for another that waits for it, and the sums are right.

Two `Database`s, as a server and a command beside it have them. DEADLOCK_SECONDS is for how long the long form goes on.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, func, select, text

from codecove import clock, ids
from codecove.batches.progress import Progress
from codecove.batches.records import Entry
from codecove.batches.records import Records as BatchRecords
from codecove.containers.service import Containers
from codecove.errors import CodecoveError
from codecove.files.blobs import Blobs
from codecove.files.records import Records as FileRecords
from codecove.files.service import Files
from codecove.sandbox.errors import SandboxError
from codecove.store.database import Database
from codecove.store.keys import Keys
from codecove.store.tables import BatchRow, FileRow, WorkspaceRow
from codecove.store.workspaces import Workspaces
from codecove.workspaces import Caller, ContainerLimits, Quotas
from tests.containers.standin import StandInHost
from tests.files.support import pieces

SECONDS = float(os.environ.get("DEADLOCK_SECONDS", "600"))
QUOTA = 10**9
EXPECTED = (CodecoveError, SandboxError)
"""What a transaction may raise when others have changed what it looks for."""


class Traffic:
    """What clients, operators and chores do, each as one call; of which row is picked at random."""

    def __init__(self, server: Database, command: Database, directory: Path, seed: int) -> None:
        self.pick = random.Random(seed)
        self.files = Files(database=server, blobs=Blobs(directory / "blobs"), max_size=10**6)
        self.file_records = FileRecords(server)
        self.containers = Containers(database=server, host=StandInHost(), idle_expiry=0.5)
        self.batches, self.progress = BatchRecords(server), Progress(server)
        self.keys, self.workspaces = Keys(command), Workspaces(command)
        self.callers: list[Caller] = []
        self.batch_ids: list[str] = []
        self.done = Counter[str]()

    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            *[self.store_file, self.use_container, self.create_batch, self.run_batch] * 3,
            *[self.remove_file, self.cancel_batch, self.delete_batch, self.delete_container],
            *[self.expire, self.archive, self.operate, self.replace_workspace],
        ]

    async def begin(self) -> None:
        for _ in range(2):
            await self.replace_workspace()

    async def replace_workspace(self) -> None:
        """A new workspace with two keys; once there are four the oldest goes with all that it has."""
        made = await self.workspaces.create(f"{self.pick.getrandbits(64):x}", Quotas(), ContainerLimits())
        for _ in range(2):
            _, key = await self.keys.create("key", workspace_id=made.id)
            self.callers.append(Caller(workspace_id=made.id, key_id=key.id))
        if len(self.callers) > 8:
            oldest = self.callers[0].workspace_id
            self.callers = [caller for caller in self.callers if caller.workspace_id != oldest]
            await self.workspaces.delete(oldest, force=True)

    async def store_file(self) -> None:
        data = self.pick.choice([b"same", b"same too", self.pick.randbytes(9)])
        await self.files.create(self.pick.choice(self.callers), filename="a", data=pieces(data))

    async def remove_file(self) -> None:
        caller = self.pick.choice(self.callers)
        for file in (await self.files.list(caller, limit=2)).data:
            await self.files.delete(caller, file.id)

    async def use_container(self) -> None:
        caller, call = self.pick.choice(self.callers), ids.new("srvtoolu")
        async with self.containers.lease(caller, None) as lease, lease.execution(call, "bash_code_execution"):
            await asyncio.sleep(self.pick.random() * 0.01)

    async def delete_container(self) -> None:
        for container_id in await self.containers._fleet.records.running():
            await self.containers.delete(self.pick.choice(self.callers), container_id)

    async def create_batch(self) -> None:
        caller, now = self.pick.choice(self.callers), clock.now()
        row = BatchRow(
            id=ids.new("msgbatch"),
            workspace_id=caller.workspace_id,
            key_id=caller.key_id,
            api_version="2023-06-01",
            betas="",
            state="creating",
            created_at=now,
            expires_at=now,
            processing=0,
            queued=False,
        )
        await self.batches.begin(row)
        try:
            for first in (0, 2):
                await self.batches.add(
                    caller, row.id, first, [Entry(f"{first}", "{}"), Entry(f"{first + 1}", "{}")], QUOTA
                )
        finally:
            if self.pick.random() < 0.2:
                await self.batches.abandon(row.id, now)
        await self.batches.open(row.id, 4, now, now + timedelta(seconds=self.pick.choice([0.2, 60])))
        self.batch_ids = [*self.batch_ids[-5:], row.id]

    async def run_batch(self) -> None:
        for batch_id in self.batch_ids[-2:]:
            number = self.pick.randrange(4)
            if await self.progress.begin(batch_id, number, clock.now()):
                await self.progress.finish(batch_id, number, "succeeded", "{}", clock.now())

    async def cancel_batch(self) -> None:
        for caller in self.callers:
            for batch_id in self.batch_ids[:2]:
                await asyncio.gather(self.batches.cancel(caller, batch_id, clock.now()), return_exceptions=True)

    async def delete_batch(self) -> None:
        for caller in self.callers:
            for batch_id in self.batch_ids[:2]:
                await self.batches.delete(caller, batch_id, clock.now())

    async def expire(self) -> None:
        await self.file_records.expire(clock.now())
        await self.progress.expire(clock.now())
        await self.containers.sweep()

    async def archive(self) -> None:
        await self.progress.archive(clock.now() - timedelta(seconds=0.1), clock.now())
        await self.progress.orphans(clock.now())
        await self.progress.remove_requests()

    async def operate(self) -> None:
        caller = self.pick.choice(self.callers)
        limit = self.pick.choice([None, 10**8])
        await self.keys.set_quotas(caller.key_id, lambda quotas: replace(quotas, storage_bytes=limit))
        await self.workspaces.set_quotas(caller.workspace_id, lambda quotas: replace(quotas, storage_bytes=limit))

    async def some(self, until: float, most: int) -> None:
        """One after the other. Whatever but a refusal is raised is a fault."""
        for _ in range(most):
            act = self.pick.choice(self.acts())
            try:
                async with asyncio.timeout(30):
                    await act()
            except EXPECTED as error:
                self.done[type(error).__name__] += 1
            self.done[act.__name__] += 1
            if time.monotonic() > until:
                return


@pytest.mark.parametrize(
    ("seconds", "acts"), [(5, 15), pytest.param(SECONDS, 10**9, marks=[pytest.mark.soak, pytest.mark.timeout(0)])]
)
async def test_none_waits_for_one_that_waits_for_it(
    database_url: URL, tmp_path: Path, seconds: float, acts: int
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Database(database_url))
        command = await stack.enter_async_context(Database(database_url))
        traffic = Traffic(server, command, tmp_path, seed=time.time_ns())
        await stack.enter_async_context(traffic.containers)
        await traffic.begin()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for _ in range(12):
                tasks.create_task(traffic.some(until, acts))
        print(traffic.done)
        async with server.read() as session:
            has = {row.id: row.storage_bytes for row in await session.scalars(select(WorkspaceRow))}
            for row_id, stored in has.items():
                files = select(func.sum(FileRow.size_bytes)).where(FileRow.workspace_id == row_id)
                batches = select(func.sum(BatchRow.stored_bytes)).where(BatchRow.workspace_id == row_id)
                assert stored == (await session.scalar(files) or 0) + (await session.scalar(batches) or 0)
            if not database_url.drivername.startswith("sqlite"):
                deadlocks = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
                assert await session.scalar(deadlocks) == 0
