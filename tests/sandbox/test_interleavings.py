"""Random lives of containers: calls, crashes, sleeps, deletions and restarts, one after the other and at once.

The model knows which files each container must have. Whatever happens: every call ends, with a result or with an error
that the seam names; no state is left by a way that the life cycle does not have; files are as the model says; and at
the end nothing is left on the machine.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, GuestFileError, HostFull
from codecove.sandbox.lifecycle import ImpossibleTransition, State
from codecove.sandbox.local import HostConfig, LocalHost
from tests.sandbox.hosts import LIMITS
from tests.sandbox.traces import calm, grown
from tests.support.host import host_config

pytestmark = pytest.mark.sandbox

PLACES = 2
"""Fewer than there are containers: they have to make room for each other."""
CALL_SECONDS = 60.0
NAMES = st.sampled_from(["a", "b", "c"])
ACTIONS = ["make", "write", "check", "sleep", "crash", "delete", "overrun", "leave_running", "cancel", "missing_file"]
ALONE = st.tuples(st.sampled_from(ACTIONS), NAMES, st.just(0.0)).map(lambda action: [action])
TOGETHER = st.lists(
    st.tuples(
        st.sampled_from(["make", "write", "check", "overrun", "cancel", "crash", "sleep", "delete", "write"]),
        NAMES,
        st.sampled_from([0.0, 0.005, 0.02, 0.06, 0.15]),
    ),
    min_size=2,
    max_size=6,
)
RESTART: list[tuple[str, str, float]] = []
STEPS = st.one_of(ALONE, ALONE, ALONE, TOGETHER, st.just(RESTART))
"""What is done at once, each after so many seconds; or nothing, for a restart of the host."""
ALLOWED = (ContainerUnavailable, ContainerNotFound, HostFull)
"""What a call may raise here."""


@dataclass
class Expected:
    """What must be in one container."""

    sure: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    """Names of files whose writing was answered with an error."""


class Life:
    """A host with few places, from its first container to its last."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.numbers = itertools.count()
        self.expected: dict[str, Expected] = {}
        self.changes: Counter[str] = Counter()
        """How often one of that name was made or deleted."""
        self.changing: Counter[str] = Counter()
        """How many are at it now."""

    async def live(self, steps: list[list[tuple[str, str, float]]]) -> None:
        shutil.rmtree(self.config.directory / "containers", ignore_errors=True)
        await self.open()
        try:
            # What is made once and stays (the template of a disk) is no leak.
            await self.host.create("first")
            await self.host.delete("first")
            before = await calm(self.host)
            for step in steps:
                async with asyncio.timeout(CALL_SECONDS):
                    await (self.together(step) if step else self.restart())
                self.check_host()
            for name in list(self.expected):
                await self.check(name)
            for name in list(self.expected):
                await self.delete(name)
            assert await grown(self.host, before) == {}
        finally:
            await self.host.__aexit__(None, None, None)

    async def open(self) -> None:
        self.host = LocalHost(self.config)
        await self.host.__aenter__()

    async def restart(self) -> None:
        await self.host.__aexit__(None, None, None)
        await self.open()
        assert await self.host.containers() == set(self.expected)

    async def together(self, step: list[tuple[str, str, float]]) -> None:
        async def one(action: str, name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            await getattr(self, action)(name)

        await asyncio.gather(*(one(*item) for item in step))

    def check_host(self) -> None:
        residents = self.host._residents
        assert set(residents) == set(self.expected)
        states = [resident.container.state for resident in residents.values()]
        assert sum(state is not State.ASLEEP for state in states) <= PLACES
        assert not {State.CREATING, State.SLEEPING, State.WAKING, State.BUSY} & set(states)

    # What can be done. Each raises only what is a fault.

    @contextlib.contextmanager
    def coming_or_going(self, name: str) -> Iterator[None]:
        """In the block it may be there or not."""
        self.changes[name] += 1
        self.changing[name] += 1
        try:
            yield
        finally:
            self.changing[name] -= 1

    async def make(self, name: str) -> None:
        if name in self.expected:
            return
        self.expected[name] = Expected()
        with self.coming_or_going(name):
            try:
                await self.host.create(name)
            except (HostFull, ContainerUnavailable):  # no room, or it crashed or was deleted while it was made
                self.expected.pop(name, None)

    async def call(self, name: str, action: Callable[[LocalContainer], Awaitable[None]]) -> None:
        """One call on a container, as the server makes it."""
        before, known = self.changes[name], name in self.expected and not self.changing[name]
        try:
            await action(await self.host.get(name))
        except ImpossibleTransition:
            raise
        except ContainerNotFound:
            assert not known or self.changes[name] != before
        except ALLOWED:
            pass

    async def write(self, name: str) -> None:
        number = next(self.numbers)
        file, text = f"f{number}", f"text {number}\n"
        expected = self.expected.get(name)

        async def action(container: LocalContainer) -> None:
            assert expected is not None
            expected.maybe.add(file)
            if number % 2:
                await container.write_file(f"/workspace/{file}", text.encode())
            else:
                script = f"echo 'text {number}' > {file}"
                result = await container.run(["bash", "-c", script], env={}, timeout=30)
                assert result.return_code == 0, result
            expected.maybe.discard(file)
            expected.sure[file] = text

        await self.call(name, action)

    async def check(self, name: str) -> None:
        expected = self.expected.get(name)

        async def action(container: LocalContainer) -> None:
            assert expected is not None
            before = dict(expected.sure)
            script = "for f in *; do [ -f $f ] && echo $f && cat $f; done; true"
            result = await container.run(["bash", "-c", script], env={}, timeout=30)
            lines = result.stdout.head.decode().splitlines()
            found = {lines[at]: f"{lines[at + 1]}\n" for at in range(0, len(lines) - 1, 2) if lines[at][0] == "f"}
            for file, text in before.items():
                assert found.get(file) == text, (name, file, result)

        await self.call(name, action)

    async def overrun(self, name: str) -> None:
        async def action(container: LocalContainer) -> None:
            script = "setsid sleep 600 & sleep 600"
            result = await container.run(["bash", "-c", script], env={}, timeout=0.1)
            assert result.timed_out
            assert result.seconds < 10

        await self.call(name, action)

    async def leave_running(self, name: str) -> None:
        async def action(container: LocalContainer) -> None:
            await container.run(["bash", "-c", "sleep 600 &"], env={}, timeout=30)

        await self.call(name, action)

    async def cancel(self, name: str) -> None:
        task = asyncio.create_task(self.overrun(name))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])

    async def crash(self, name: str) -> None:
        with contextlib.suppress(KeyError):
            container = self.host._residents[name].container
            for pid in container.host_processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def sleep(self, name: str) -> None:
        with contextlib.suppress(ContainerNotFound, ContainerUnavailable):
            await self.host.sleep(name)

    async def delete(self, name: str) -> None:
        with self.coming_or_going(name):
            await self.host.delete(name)
            self.expected.pop(name, None)

    async def missing_file(self, name: str) -> None:
        async def action(container: LocalContainer) -> None:
            with pytest.raises(GuestFileError):
                await container.read_file("/workspace/never", limit=1)

        await self.call(name, action)


@pytest.mark.parametrize(
    ("runtime", "lives", "steps"),
    [
        ("crun", 6, 20),
        ("runsc", 1, 15),
        pytest.param("crun", 400, 50, marks=pytest.mark.soak),
        pytest.param("runsc", 60, 50, marks=pytest.mark.soak),
    ],
)
def test_random_lives(image: Path, tmp_path: Path, runtime: str, lives: int, steps: int) -> None:
    config = host_config(tmp_path, image, runtime=runtime, limits=LIMITS, max_containers=PLACES, idle_sleep=None)

    # Nothing is made smaller: what fails depends on time, and would not fail again in the same way.
    @settings(
        max_examples=lives,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=steps, max_size=steps))
    def live(plan: list[list[tuple[str, str, float]]]) -> None:
        asyncio.run(Life(config).live(plan))

    live()
