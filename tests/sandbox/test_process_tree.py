"""Processes without a control group: all that descends from a reaper is found, stopped and killed, whoever asks."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from codecove.sandbox import guestbuild, record, spawn
from codecove.sandbox.process_tree import ProcessTree, ProcessTrees
from tests.support.server import wait_until

# One that waits, one in a session of its own, one whose parent has ended.
FAMILY = "sleep 301 & setsid sleep 302 & (setsid sleep 303 &); sleep 304"


@pytest.fixture(scope="module")
def reaper(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guestbuild.build(tmp_path_factory.mktemp("programs"), image).reaper


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "site"
    directory.mkdir()
    yield directory
    ProcessTree(directory).kill()
    wait_until(lambda: not ProcessTree(directory).processes(), "something is left")


@pytest.fixture
async def tree(reaper: Path, site: Path) -> AsyncIterator[ProcessTree]:
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(site / record.LOG, os.O_WRONLY | os.O_CREAT)
    command = [str(reaper), "0", "0", "--", "/bin/sh", "-c", FAMILY]
    child = await spawn.start(command, cwd=site, env=dict(os.environ), stdin=null, stdout=null, stderr=log)
    os.close(null)
    os.close(log)
    tree = ProcessTree(site)
    await asyncio.to_thread(wait_until, lambda: is_together(tree), "the family did not come together")
    yield tree
    tree.kill()
    await child.wait()


def is_together(tree: ProcessTree) -> bool:
    """The reaper, a shell and four that sleep."""
    programs = [program_of(pid) for pid in tree.processes()]
    return len(programs) == 6 and programs.count("sleep") == 4


def program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def states(tree: ProcessTree) -> set[str]:
    return {state_of(pid) for pid in tree.processes()[1:]}


async def test_all_are_found_by_whoever_looks(tree: ProcessTree, site: Path) -> None:
    (found,) = ProcessTrees(site.parent).existing()
    assert found.processes() == tree.processes()
    assert not tree.remove()
    assert tree.memory_in_use() > 0
    assert tree.cpu_seconds() >= 0


async def test_they_are_stopped_and_run_on(tree: ProcessTree) -> None:
    tree.freeze()
    await asyncio.to_thread(wait_until, lambda: states(tree) == {"T"}, "not all were stopped")
    tree.thaw()
    await asyncio.to_thread(wait_until, lambda: "T" not in states(tree), "not all run on")


@pytest.mark.parametrize("frozen", [False, True])
async def test_they_are_killed_whatever_they_do(tree: ProcessTree, frozen: bool) -> None:
    if frozen:
        tree.freeze()
    pids = tree.processes()
    tree.kill()
    await asyncio.to_thread(wait_until, tree.remove, "they live on")
    assert {state_of(pid) for pid in pids} <= {"", "Z"}
    with pytest.raises(ProcessLookupError):
        tree.memory_in_use()


def test_they_end_with_a_server_that_is_killed(reaper: Path, site: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        f"log = open({str(site / record.LOG)!r}, 'w')\n"
        f"subprocess.Popen([{str(reaper)!r}, '0', '0', '--', '/bin/sh', '-c', {FAMILY!r}], stderr=log)\n"
        "time.sleep(300)"
    )
    tree = ProcessTree(site)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL) as server:
        wait_until(lambda: is_together(tree), "the family did not come together")
        tree.freeze()
        server.send_signal(signal.SIGKILL)
    wait_until(lambda: tree.processes() == [], "they outlived the server")
