"""What an execution says that it has taken."""

import asyncio

import pytest

from tests.sandbox.hosts import Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_cpu_time_is_what_the_program_burns_and_not_what_it_waits(shell: Shell) -> None:
    burn = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass"
    busy, waiting = await shell.python(burn), await shell("sleep 1")
    # A machine with other work gives it less, down to a fifth, than gVisor, whose clock counts, believes.
    assert 0.1 < busy.cpu_seconds <= busy.seconds * 1.2
    assert waiting.cpu_seconds < busy.cpu_seconds / 2


async def test_peak_memory_is_of_this_execution_alone_and_without_cached_files(shell: Shell) -> None:
    small = await shell("true")
    big = await shell.python("import time; x = b'x' * 200 * 2**20; time.sleep(0.2)")
    async with asyncio.timeout(30):
        while (await shell("true")).peak_memory_bytes > 120 * 2**20:  # noqa: ASYNC110 -- given back in time
            await asyncio.sleep(0.1)
    written = await shell("head -c 40000000 /dev/zero > file; sync; rm file")
    after = await shell("sleep 0.1")
    assert 0 < small.peak_memory_bytes < 120 * 2**20
    assert 200 * 2**20 < big.peak_memory_bytes < 400 * 2**20
    assert written.peak_memory_bytes < 200 * 2**20
    assert after.peak_memory_bytes < 200 * 2**20
