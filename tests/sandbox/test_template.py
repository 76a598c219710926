"""Containers restored from a template start with a warm interpreter, share nothing, and are booted if it is damaged."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.lifecycle import State
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS, Shell, becomes, new_name
from tests.support.host import host_config

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which("runsc") is None, reason="only runsc has checkpoints"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(image: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalHost]:
    """One whose containers use pandas, with a template because of that."""
    config = host_config(tmp_path_factory.mktemp("template"), image, limits=LIMITS)
    async with LocalHost(config) as host:
        first = await host.create(new_name())
        assert host._warm is not None
        assert host._warm.ready(LIMITS) is None
        await first.run(["python3", "-c", "import pandas"], env={}, timeout=60)
        await host.delete((await host.create(new_name())).id)
        await template(host)
        yield host
        await host.delete(first.id)
        assert list((host.directory / "containers").iterdir()) == []


async def template(host: LocalHost) -> Path:
    assert host._warm is not None
    async with asyncio.timeout(60):
        while (path := host._warm.ready(LIMITS)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return path


@pytest_asyncio.fixture(loop_scope="session")
async def pair(host: LocalHost) -> AsyncIterator[list[LocalContainer]]:
    containers = [await host.create(new_name()) for _ in range(2)]
    yield containers
    for container in containers:
        await host.delete(container.id)


async def python(container: LocalContainer, program: str) -> str:
    result = await container.run(["python3", "-c", program], env={}, timeout=60)
    assert result.return_code == 0, result
    return result.stdout.head.decode()


async def test_a_restored_container_has_a_warm_interpreter_at_once_and_nothing_of_another(
    host: LocalHost, pair: list[LocalContainer]
) -> None:
    assert all(container._warmth is not None and container._warmth.is_on for container in pair)
    program = "import pandas, random, numpy, uuid, os, secrets; print('warm.py' in open('/proc/self/cmdline').read(), "
    program += "random.random(), numpy.random.rand(), uuid.uuid4(), secrets.token_hex(), os.urandom(8).hex())"
    outputs = [(await python(container, program)).split() for container in pair]
    assert [output[0] for output in outputs] == ["True", "True"]
    assert all(one != other for one, other in zip(outputs[0][1:], outputs[1][1:], strict=True))

    # That one could be used once. Another one follows.
    async with asyncio.timeout(30):
        while not all(container._warmth is not None and container._warmth.is_on for container in pair):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [(await python(container, program)).split()[0] for container in pair] == ["True", "True"]

    shells = [Shell(host, container) for container in pair]
    for place in ("/workspace", "/tmp", "/dev/shm", "/home/user", "/files/output"):
        await shells[0].output(f"echo mine > {place}/file")
        assert (await shells[1](f"cat {place}/file")).return_code == 1
    assert int((await shells[1].output("date +%s")).strip()) == pytest.approx(time.time(), abs=3)


async def test_a_restored_container_sleeps_and_wakes(host: LocalHost, pair: list[LocalContainer]) -> None:
    shell = Shell(host, pair[0])
    await shell.output("sleep 61 & echo kept > file")
    assert await host.sleep(pair[0].id)
    assert await shell.output("cat file; pgrep -a sleep | cut -d' ' -f2-") == "kept\nsleep 61\n"
    assert pair[0].last.cause != "it could not be woken"


async def test_one_that_no_program_asks_for_is_ended_before_the_container_is_frozen(
    host: LocalHost, pair: list[LocalContainer]
) -> None:
    shell = Shell(host, pair[0])
    assert "warm.py" in await shell.output("ps -eo args")
    await becomes(pair[0], State.FROZEN)
    assert "warm.py" not in await shell.output("ps -eo args")


async def test_a_template_that_was_changed_is_not_used_and_made_anew_and_old_ones_go(host: LocalHost) -> None:
    path = await template(host)
    for number in range(5):
        (path.parent / f"warm-{number}").mkdir()
        os.utime(path.parent / f"warm-{number}", (number, number))
    with (path / "pages.img").open("ab") as file:
        file.write(b"x")
    container = await host.create(new_name())
    assert container._warmth is not None
    assert not container._warmth.is_on
    assert (await template(host)) == path
    assert {made.name for made in path.parent.glob("warm-*/")} == {path.name, "warm-4", "warm-3", "warm-2"}
    await host.delete(container.id)


async def test_one_that_cannot_be_restored_is_not_tried_again(host: LocalHost) -> None:
    path = await template(host)
    (path / "checkpoint.img").write_bytes(b"damaged")
    assert host._warm is not None
    host._warm._checked[path] = tuple(
        (file.name, file.stat().st_ino, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(path.iterdir())
    )
    container = await host.create(new_name())
    assert container._warmth is not None
    assert not container._warmth.is_on
    assert (await Shell(host, container).output("echo hi")) == "hi\n"
    await host.delete(container.id)
    await template(host)


async def test_what_the_first_program_uses_decides_how_a_container_starts(host: LocalHost) -> None:
    await template(host)
    loaded = await host.create(new_name(), libraries=True)
    plain = await host.create(new_name(), libraries=False)
    for container, expected in ((loaded, True), (plain, False)):
        assert container._warmth is not None
        assert container._warmth.is_on is expected
        await host.delete(container.id)
