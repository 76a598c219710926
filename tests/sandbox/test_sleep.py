"""Containers sleep and wake: with their files always, with their processes if the runtime can."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codecove.sandbox import record
from codecove.sandbox.errors import ContainerNotFound, HostFull
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell, becomes, new_name
from tests.sandbox.traces import calm, grown, mounts, traces
from tests.support.host import host_config

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1000"))
AT_ONCE = 4
"""Containers among which the rounds are divided."""
COUNTER = """
import os, signal
count = 0
def step(*_):
    global count
    count += 1
    print(count, os.getpid(), file=log, flush=True)
log = open("/workspace/counter", "w")
signal.signal(signal.SIGUSR1, step)
print("ready", os.getpid(), file=log, flush=True)
while True:
    signal.pause()
"""
"""A program that is to live on: it counts in its memory, and writes to a file that it holds open."""


async def sleep(shell: Shell) -> None:
    assert await shell.host.sleep(shell.container.id)
    assert shell.container.state is State.ASLEEP


async def start_counter(shell: Shell) -> None:
    await shell.container.write_file("/workspace/counter.py", COUNTER.encode())
    await shell.output("python3 counter.py >/dev/null 2>&1 & until grep -q ready counter; do sleep 0.05; done")


async def count(shell: Shell) -> str:
    """Have the program count once more, and return its answer."""
    return await shell.output(
        "lines=$(wc -l < counter); read -r _ pid < counter; kill -USR1 $pid || exit 1;"
        "until [ $(wc -l < counter) -gt $lines ]; do sleep 0.01; done; tail -n 1 counter"
    )


TREE = "find /workspace /tmp /files /home -printf '%p %s %m %l\\n' | sort; find /workspace -type f | xargs sha256sum"
"""Without times: while gVisor runs, those that it has set itself are some microseconds from those on the disk."""


async def test_asleep_it_costs_nothing_but_files(host: LocalHost) -> None:
    await host.delete((await host.create(new_name())).id)
    before = await calm(host)
    container = await host.create(new_name())
    shell = Shell(host, container)
    await sleep(shell)
    assert await grown(host, before, directories=1) == {}
    await host.delete(container.id)
    assert await grown(host, before) == {}


async def test_its_files_are_as_they_were(own_shell: Shell) -> None:
    await own_shell.output(
        "mkdir -p d/e; echo x > d/e/f; ln -s e d/l; chmod 600 d/e/f; ln d/e/f d/hard; "
        "touch -d @981173106 d/l/f; echo t > /tmp/t; mkfifo d/p;"
        "head -c 300000 /dev/urandom > d/random; rm -f /home/user/.bashrc; echo o > /files/output/o"
    )
    before = await own_shell.output(TREE)
    await sleep(own_shell)
    assert await own_shell.output(TREE) == before
    assert await own_shell.output("stat -c %Y d/hard") == "981173106\n"


async def test_its_processes_live_on_under_gvisor_and_its_record_says_so(own_shell: Shell) -> None:
    kept = "runsc" in own_shell.host.directory.name
    await start_counter(own_shell)
    first, pid = (await count(own_shell)).split()
    for number in range(2, 4):
        await sleep(own_shell)
        await own_shell.host.get(own_shell.container.id)
        if not kept:
            assert (
                own_shell.container.last.cause
                == f"woke with its files only: {own_shell.host._config.runtime} can't keep processes"
            )
            assert await own_shell.processes() == []
            break
        assert own_shell.container.last.cause == "woke with its processes"
        assert own_shell.container.has_background
        assert (await count(own_shell)).split() == [str(number), pid]
    assert first == "1"


async def test_shared_memory_is_kept_and_nothing_runs_on_for_it(own_shell: Shell) -> None:
    if "runsc" not in own_shell.host.directory.name:
        return  # where processes can't be kept, memory can't be either
    await own_shell.output("echo kept > /dev/shm/file")
    await sleep(own_shell)
    await own_shell.host.get(own_shell.container.id)
    assert own_shell.container.last.cause == "woke with its processes"
    assert not own_shell.container.has_background
    await becomes(own_shell.container, State.FROZEN)
    assert await own_shell.output("cat /dev/shm/file") == "kept\n"


async def test_what_it_has_run_does_not_weigh_on_its_sleep(own_shell: Shell) -> None:
    kept = own_shell.host._residents[own_shell.container.id]._site.checkpoint_directory
    sizes = []
    for executions in (1, 300):
        for _ in range(executions):
            await own_shell.output("echo hi")
        await sleep(own_shell)
        sizes.append(sum(path.stat().st_size for path in kept.glob("*")))
    assert sizes[1] <= sizes[0] + 2**20  # 3.4 KiB for each; the shell that waits may be half started


async def test_calls_at_once_wake_it_once(own_shell: Shell) -> None:
    await sleep(own_shell)
    assert await asyncio.gather(*(own_shell.output(f"echo {n}") for n in range(8))) == [f"{n}\n" for n in range(8)]


async def test_a_busy_container_does_not_sleep(own_shell: Shell) -> None:
    running = asyncio.create_task(own_shell.output("sleep 0.5; echo done"))
    await becomes(own_shell.container, State.BUSY)
    assert not await own_shell.host.sleep(own_shell.container.id)
    assert await running == "done\n"


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1])
async def test_cancelling_a_sleep_or_a_wake_leaves_it_usable(own_shell: Shell, moment: float) -> None:
    await own_shell.output("echo kept > file")
    for work in (own_shell.host.sleep, own_shell.host.get):
        task = asyncio.create_task(work(own_shell.container.id))
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.wait([task])
    assert await own_shell.output("cat file") == "kept\n"


async def test_deleting_a_sleeping_container_removes_its_files(host: LocalHost) -> None:
    container = await host.create(new_name())
    await host.sleep(container.id)
    before = traces(host)["directories"]
    await host.delete(container.id)
    assert traces(host)["directories"] < before
    with pytest.raises(ContainerNotFound):
        await host.get(container.id)


@asynccontextmanager
async def opened(
    image: Path, directory: Path, *, places: int = 10, idle: float | None = None
) -> AsyncIterator[LocalHost]:
    config = host_config(directory, image, limits=LIMITS, max_containers=places, idle_sleep=idle)
    async with LocalHost(config) as host:
        yield host


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
@pytest.mark.asyncio(loop_scope="function")
async def test_a_damaged_checkpoint_costs_the_processes_but_not_the_files(
    image: Path, tmp_path: Path, damage: str
) -> None:
    async with opened(image, tmp_path) as host:
        shell = Shell(host, await host.create("one"))
        await shell.output("echo kept > file; sleep 600 &")
        await sleep(shell)
        (pages,) = tmp_path.glob("containers/*/checkpoint/pages.img")
        if damage == "changed":
            pages.write_bytes(b"\1" + pages.read_bytes()[1:])
        elif damage == "cut":
            os.truncate(pages, 4096)
        else:
            pages.unlink()
        assert await shell.output("cat file") == "kept\n"
        assert await shell.processes() == []
        await sleep(shell)
        assert await shell.output("cat file") == "kept\n"


@pytest.mark.asyncio(loop_scope="function")
async def test_a_checkpoint_that_the_runtime_refuses_costs_the_processes_but_not_the_files(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(image, tmp_path) as host:
        shell = Shell(host, await host.create("one"))
        await shell.output("echo kept > file; sleep 600 &")
        await sleep(shell)
        kept = record.read(next(tmp_path.glob("containers/*")))
        assert kept is not None
        assert kept.checkpoint is not None
        true_digest = kept.checkpoint.digest
        monkeypatch.setattr(record, "digest", lambda path: true_digest)
        (image_file,) = tmp_path.glob("containers/*/checkpoint/checkpoint.img")
        image_file.write_bytes(b"nonsense")
        await host.get("one")
        assert "could not be restored" in shell.container.last.cause
        assert await shell.output("cat file") == "kept\n"


@pytest.mark.asyncio(loop_scope="function")
async def test_an_idle_container_goes_to_sleep(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path, idle=0.5) as host:
        shell = Shell(host, await host.create("one"))
        await start_counter(shell)
        for number in (1, 2):
            await becomes(shell.container, State.ASLEEP)
            assert (await count(shell)).split()[0] == str(number)


@pytest.mark.asyncio(loop_scope="function")
async def test_the_longest_idle_makes_room_and_all_come_back(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path, places=2) as host:
        shells = [Shell(host, await host.create(f"c{number}")) for number in range(4)]
        assert [shell.container.state for shell in shells[:2]] == [State.ASLEEP, State.ASLEEP]
        for shell in [*shells, *shells]:
            await shell.output(f"echo {shell.container.id} >> file")
        answers = await asyncio.gather(*(shell.output("cat file") for shell in shells), return_exceptions=True)
        for shell, answer in zip(shells, answers, strict=True):
            # At most two run at once: for a third one there may be no place at that moment.
            assert answer == f"{shell.container.id}\n" * 2 or isinstance(answer, HostFull)


@pytest.mark.asyncio(loop_scope="function")
async def test_containers_survive_a_restart_of_the_server(image: Path, tmp_path: Path) -> None:
    async with opened(image, tmp_path) as host:
        live, asleep, files = [Shell(host, await host.create(name)) for name in ("live", "asleep", "files")]
        await start_counter(live)
        await start_counter(asleep)
        await count(live)
        await sleep(asleep)
        await files.output("echo kept > file")
    async with opened(image, tmp_path) as host:
        assert await host.containers() == {"live", "asleep", "files"}
        assert mounts(host) == 0
        live, asleep, files = [Shell(host, await host.get(name)) for name in ("live", "asleep", "files")]
        assert (await count(live)).split()[0] == "2"
        assert (await count(asleep)).split()[0] == "1"
        assert await files.output("cat file") == "kept\n"


async def soak(shell: Shell, rounds: int) -> None:
    await start_counter(shell)
    await shell.output("mkdir tree; for n in $(seq 50); do head -c $((n * 997)) /dev/urandom > tree/$n; done")
    before = await shell.output("sha256sum tree/*; stat -c '%n %s %a' tree/*")
    pid = (await count(shell)).split()[1]
    for number in range(2, rounds + 2):
        await sleep(shell)
        assert (await count(shell)).split() == [str(number), pid]
        assert await shell.output("sha256sum tree/*; stat -c '%n %s %a' tree/*") == before


@pytest.mark.parametrize(
    ("containers", "rounds"), [(1, 5), pytest.param(AT_ONCE, ROUNDS // AT_ONCE, marks=pytest.mark.soak)]
)
@pytest.mark.asyncio(loop_scope="function")
async def test_sleeping_and_waking_again_and_again_changes_nothing(
    image: Path, tmp_path: Path, containers: int, rounds: int
) -> None:
    async with opened(image, tmp_path) as host, asyncio.TaskGroup() as tasks:
        for number in range(containers):
            tasks.create_task(soak(Shell(host, await host.create(f"c{number}")), rounds))
