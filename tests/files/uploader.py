"""A process that makes and deletes files until it is killed, and says what has been acknowledged.

    python -m tests.files.uploader <database URL> <folder of blobs>

Its lines: `made <id> <sha256>`, `deleting <id>`, `deleted <id>`.
"""

import asyncio
import hashlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from codecove.files.blobs import Blobs
from codecove.files.service import Files
from codecove.files.upkeep import Upkeep
from codecove.store.database import Database
from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller

CALLER = Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one")
SIZES = (0, 1, 1000, 2**20, 6 * 2**20, 11 * 2**20)


async def work(files: Files, seed: int) -> None:
    pick = random.Random(f"{seed} {sys.argv[3]}")
    mine: list[str] = []
    while True:
        # Few different contents, so that files share them.
        content = bytes([pick.randrange(3)]) * pick.choice(SIZES)

        async def data(content: bytes = content) -> AsyncIterator[bytes]:
            for start in range(0, len(content), 2**18):
                yield content[start : start + 2**18]
                await asyncio.sleep(0)

        file = await files.create(CALLER, filename="x", data=data())
        print("made", file.id, hashlib.sha256(content).hexdigest(), flush=True)
        mine.append(file.id)
        if pick.random() < 0.5:
            gone = mine.pop(pick.randrange(len(mine)))
            print("deleting", gone, flush=True)
            await files.delete(CALLER, gone)
            print("deleted", gone, flush=True)


async def main() -> None:
    blobs = Blobs(Path(sys.argv[2]))
    async with Database(sys.argv[1]) as database, Upkeep(database=database, blobs=blobs):
        files = Files(database=database, blobs=blobs, max_size=2**30)
        async with asyncio.TaskGroup() as tasks:
            for seed in range(3):
                tasks.create_task(work(files, seed))


if __name__ == "__main__":
    asyncio.run(main())
