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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.errors import ContainerNotFound, ContainerUnavailable, GuestFileError, HostFull
from codecove.sandbox.lifecycle import ImpossibleTransition, State
from codecove.sandbox.local import LocalHost
from tests.sandbox.hosts import LIMITS
from tests.sandbox.test_life import Traces, settled, traces
from tests.support.host import host_config

pytestmark = pytest.mark.sandbox

PLACES = 2
"""Fewer than there are containers: they have to make room for each other."""
NAMES = st.sampled_from(["a", "b", "c"])
CALL_SECONDS = 60.0
ALLOWED = (ContainerUnavailable, ContainerNotFound, HostFull)
"""What a call may raise here."""


@dataclass
class Expected:
    """What must be in one container."""

    sure: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    """Names of files whose writing was answered with an error."""
    crashed: bool = False


class Lives(RuleBasedStateMachine):
    """A host with few places."""

    runtime: ClassVar[str]
    image: ClassVar[Path]
    directory: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.numbers = itertools.count()
        self.expected: dict[str, Expected] = {}
        shutil.rmtree(self.directory / "containers", ignore_errors=True)
        self.open()
        self.before = self.runner.run(self.first())

    def open(self) -> None:
        self.host = LocalHost(
            host_config(
                self.directory, self.image, runtime=self.runtime, limits=LIMITS, max_containers=PLACES, idle_sleep=None
            )
        )
        self.runner.run(self.host.__aenter__())

    async def first(self) -> Traces:
        """A container has been there: what is made once and stays (the template of a disk) is no leak."""
        await self.host.create("first")
        await self.host.delete("first")
        # The kernel takes a moment to let go of the disk; it is not to count as there from the start.
        return await settled(self.host, replace(traces(self.host), loop_devices=0))

    def do(self, work: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(CALL_SECONDS):
                return await work

        return self.runner.run(bounded())

    # --- What can be done, each as a coroutine that never raises but what is a fault

    async def make(self, name: str) -> None:
        if name in self.expected:
            return
        self.expected[name] = Expected()
        try:
            await self.host.create(name)
        except HostFull:
            del self.expected[name]

    async def call(self, name: str, action: Callable[[LocalContainer], Awaitable[None]]) -> None:
        """One call on a container, as the server makes it."""
        known = name in self.expected
        try:
            await action(await self.host.get(name))
        except ImpossibleTransition:
            raise
        except ContainerNotFound:
            assert not known or name not in self.expected  # deleted meanwhile
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
        await self.host.delete(name)
        self.expected.pop(name, None)

    async def missing_file(self, name: str) -> None:
        async def action(container: LocalContainer) -> None:
            with pytest.raises(GuestFileError):
                await container.read_file("/workspace/never", limit=1)

        await self.call(name, action)

    # --- The rules

    @rule(name=NAMES)
    def makes(self, name: str) -> None:
        self.do(self.make(name))

    @rule(name=NAMES)
    def writes(self, name: str) -> None:
        self.do(self.write(name))

    @rule(name=NAMES)
    def checks(self, name: str) -> None:
        self.do(self.check(name))

    @rule(name=NAMES)
    def sleeps(self, name: str) -> None:
        self.do(self.sleep(name))

    @rule(name=NAMES)
    def crashes(self, name: str) -> None:
        self.do(self.crash(name))

    @rule(name=NAMES)
    def deletes(self, name: str) -> None:
        self.do(self.delete(name))

    @rule(name=NAMES, what=st.sampled_from(["overrun", "leave_running", "cancel", "missing_file"]))
    def others(self, name: str, what: str) -> None:
        self.do(getattr(self, what)(name))

    @rule(
        work=st.lists(
            st.tuples(
                st.sampled_from(["make", "write", "check", "overrun", "cancel", "crash", "sleep", "delete", "write"]),
                NAMES,
                st.sampled_from([0.0, 0.005, 0.02, 0.06, 0.15]),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def together(self, work: list[tuple[str, str, float]]) -> None:
        async def one(what: str, name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            await getattr(self, what)(name)

        async def all_of_them() -> None:
            await asyncio.gather(*(one(*item) for item in work))

        self.do(all_of_them())

    @rule()
    def restarts(self) -> None:
        self.do(self.host.__aexit__(None, None, None))
        self.open()
        assert self.do(self.host.containers()) == set(self.expected)

    @invariant()
    def the_host_knows_those_and_no_others(self) -> None:
        residents = self.host._residents
        assert set(residents) == set(self.expected)
        states = [resident.container.state for resident in residents.values()]
        assert sum(state is not State.ASLEEP for state in states) <= PLACES
        assert not {State.CREATING, State.SLEEPING, State.WAKING, State.BUSY} & set(states)

    def teardown(self) -> None:
        try:
            for name in list(self.expected):
                self.do(self.check(name))
            for name in list(self.expected):
                self.do(self.delete(name))
            assert self.runner.run(settled(self.host, self.before)) == self.before
        finally:
            self.do(self.host.__aexit__(None, None, None))
            self.runner.close()


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
    class OnThisRuntime(Lives):
        pass

    OnThisRuntime.runtime, OnThisRuntime.image, OnThisRuntime.directory = runtime, image, tmp_path
    run_state_machine_as_test(
        OnThisRuntime,
        settings=settings(
            max_examples=lives,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
