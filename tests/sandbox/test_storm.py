"""A server that is killed at any moment leaves no files lost, and nothing that the next one does not remove."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.sandbox import storm
from tests.support.server import leftovers

pytestmark = [pytest.mark.sandbox]

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def server(directory: Path, image: Path, runtime: str, seed: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", storm.__name__, str(directory), str(image), runtime, seed]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with (directory / "errors").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(process: asyncio.subprocess.Process, directory: Path) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("ready"), (directory / "errors").read_text()[-3000:]
    return line


@pytest.mark.parametrize(
    ("runtime", "kills"),
    [("runsc", 2), *(pytest.param(runtime, 20, marks=pytest.mark.soak) for runtime in ("runsc", "crun"))],
)
async def test_what_was_acknowledged_outlives_kills_at_any_moment_and_nothing_else_does(
    image: Path, tmp_path: Path, runtime: str, kills: int
) -> None:
    pick = random.Random(kills)
    for number in range(kills):
        async with server(tmp_path, image, runtime, str(number)) as process:
            if number % 4 == 3:  # while it clears up after the last one
                await asyncio.sleep(pick.uniform(0.2, 1))
            else:
                print(await ready(process, tmp_path), end="")
                await asyncio.sleep(pick.uniform(0.1, 2))
            assert process.returncode is None, (tmp_path / "errors").read_text()[-3000:]
    async with server(tmp_path, image, runtime, "end") as process:
        print(await ready(process, tmp_path))
        assert await process.wait() == 0, (tmp_path / "errors").read_text()[-3000:]
    assert list((tmp_path / "host/containers").iterdir()) == []
    assert leftovers(tmp_path) == []
