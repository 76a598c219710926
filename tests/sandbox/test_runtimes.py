"""runc runs a container as the other runtimes do. All tests run on it in `make soak`."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell, becomes
from tests.sandbox.traces import calm, grown
from tests.support.host import host_config

pytestmark = pytest.mark.sandbox


@pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")
async def test_a_life_under_runc(image: Path, tmp_path: Path) -> None:
    limits = replace(LIMITS, memory_bytes=256 * 2**20)
    async with LocalHost(host_config(tmp_path, image, runtime="runc", limits=limits)) as host:
        await host.delete((await host.create("first")).id)
        before = await calm(host)
        shell = Shell(host, await host.create("one"))
        assert await shell.output("id -u; tee file <<< kept") == "1000\nkept\n"
        assert (await shell("setsid sleep 60 & sleep 60", timeout=0.5)).timed_out
        assert await shell.processes() == []
        eater = await shell.python("x = bytearray(b'x') * (350 * 2**20); import time; time.sleep(20)")
        assert (eater.return_code, eater.out_of_memory) == (137, True)
        assert (await shell("unshare -Ur true")).return_code != 0
        running = asyncio.create_task(shell("sleep 0.5; echo woken"))
        await becomes(shell.container, State.BUSY)
        assert not await host.sleep("one")  # it is busy
        assert (await running).stdout.head == b"woken\n"
        assert await host.sleep("one")
        assert await shell.output("cat file") == "kept\n"
        await host.delete("one")
        assert await grown(host, before) == {}
