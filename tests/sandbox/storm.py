"""A host that works on random containers until it is killed, and a ledger that outlives it.

Run as a program it first checks what an earlier one has acknowledged, then says `ready`, and goes on until it is
killed; or, with `end` as its seed, deletes everything and stops.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, HostFull
from codecove.sandbox.local import LocalHost
from codecove.sandbox.pool import PoolSize
from tests.sandbox.hosts import LIMITS
from tests.support.host import host_config

WORKERS = 3
MOST = 6
PLACES = 4
"""Fewer than there may be, beside one of the pool: they make room for each other."""


class Ledger:
    """What has been begun and what has been acknowledged, a line each."""

    def __init__(self, file: Path) -> None:
        self.files: dict[str, dict[str, str]] = {}
        """Container → file → text, of those that must be there."""
        self.unsure: set[str] = set()
        """Containers whose creation or deletion has begun, and not ended."""
        for line in file.read_text().splitlines() if file.exists() else []:
            self._note(*json.loads(line))
        self._fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @contextlib.contextmanager
    def act(self, kind: str, container: str, file: str = "", text: str = "") -> Iterator[None]:
        """Done when the block ends without an error."""
        self._write("begin", kind, container, file, text)
        yield
        self._write("done", kind, container, file, text)

    def _write(self, *entry: str) -> None:
        os.write(self._fd, json.dumps(entry).encode() + b"\n")
        self._note(*entry)

    def _note(self, when: str, kind: str, container: str, file: str, text: str) -> None:
        match when, kind:
            case "begin", "create" | "delete":
                self.files.pop(container, None)
                self.unsure.add(container)
            case "done", "create":
                self.unsure.discard(container)
                self.files[container] = {}
            case "done", "delete":
                self.unsure.discard(container)
            case "done", "write" if container in self.files:
                self.files[container][file] = text


class Worker:
    """Random calls on a host. Every error but those that the seam names ends the program."""

    def __init__(self, host: LocalHost, ledger: Ledger, pick: random.Random, names: Iterator[str]) -> None:
        self._host = host
        self._ledger = ledger
        self._pick = pick
        self._names = names

    async def work(self) -> None:
        """Until the program is killed."""
        while True:
            action = self._pick.choice([self.create, self.delete, *[self.write] * 4, *[self.sleep] * 3, self.look])
            with contextlib.suppress(HostFull, ContainerUnavailable, ContainerNotFound):
                await action()

    def any(self) -> str | None:
        return self._pick.choice(sorted(self._ledger.files)) if self._ledger.files else None

    async def create(self) -> None:
        if len(self._ledger.files) < MOST:
            name = next(self._names)
            with self._ledger.act("create", name):
                await self._host.create(name)

    async def delete(self) -> None:
        if (name := self.any()) is not None:
            with self._ledger.act("delete", name):
                await self._host.delete(name)

    async def write(self) -> None:
        if (name := self.any()) is None:
            return
        file = next(self._names)
        text = f"{self._pick.getrandbits(64)}\n" * 100
        with self._ledger.act("write", name, file, text):
            container = await self._host.get(name)
            if self._pick.random() < 0.5:
                await container.write_file(f"/workspace/{file}", text.encode())
            else:
                run = await container.run(
                    ["bash", "-c", f"sleep 60 & cat > {file}"], env={}, timeout=30, stdin=text.encode()
                )
                assert run.return_code == 0, run

    async def sleep(self) -> None:
        if (name := self.any()) is not None:
            await self._host.sleep(name)

    async def look(self) -> None:
        if (name := self.any()) is not None:
            expected = dict(self._ledger.files[name])
            await check(self._host, name, expected)


async def check(host: LocalHost, name: str, expected: dict[str, str]) -> None:
    """The files are in the container."""
    container = await host.get(name)
    for file, text in expected.items():
        found = await container.read_file(f"/workspace/{file}", limit=2**20)
        assert found == text.encode(), (name, file, found[:40], len(found))


async def main(directory: str, image: str, runtime: str, seed: str) -> None:
    config = host_config(
        Path(directory, "host"), Path(image), runtime=runtime, limits=LIMITS, max_containers=PLACES, pool=PoolSize(0, 1)
    )
    ledger = Ledger(Path(directory, "ledger"))
    async with LocalHost(config) as host:
        there = await host.containers()
        assert ledger.files.keys() <= there, "a container is lost"
        assert there <= ledger.files.keys() | ledger.unsure, "a deleted container is back"
        for name, files in list(ledger.files.items()):
            await check(host, name, files)
        print("ready", len(ledger.files), sum(map(len, ledger.files.values())), flush=True)
        if seed == "end":
            for name in there:
                await host.delete(name)
            return
        names = (f"{seed}-{number}" for number in itertools.count())
        pick = random.Random(seed)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(Worker(host, ledger, random.Random(pick.random()), names).work())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
