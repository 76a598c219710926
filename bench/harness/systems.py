"""What is compared: our containers under each runtime, the same programs without a sandbox, and other products."""

import contextlib
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from codecove.sandbox.container import LocalContainer
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.sandbox.pool import PoolSize
from harness.workloads import Workload

RUNTIMES = ("runsc", "crun", "runc")
_names = (f"bench-{number}" for number in itertools.count())


def new_name() -> str:
    """An id for a container."""
    return next(_names)


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def read(self) -> float:
        """Now."""
        return (time.perf_counter() - self._began) * 1000


class System(Protocol):
    """Something that runs programs."""

    name: str

    async def run(self, workload: Workload) -> float | None:
        """Milliseconds that one request took; None if this system can't do that."""
        ...


class Native:
    """The physical limit: the image's own programs as processes of this machine, with nothing around them."""

    name = "native"

    def __init__(self, rootfs: Path) -> None:
        self._command = ["chroot", "--userspec=1000:1000", str(rootfs)]

    async def run(self, workload: Workload) -> float | None:
        """See `System`."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}
        watch = Stopwatch()
        # It waits without the event loop, whose own way of starting and awaiting a process would be half the time.
        result = subprocess.run([*self._command, *workload.argv], env=environment, capture_output=True, check=False)  # noqa: ASYNC221
        if result.returncode != 0:
            raise RuntimeError(f"native: {workload.name}: {result.stderr.decode(errors='replace')}")
        return watch.read()


class Sandboxed:
    """An awake container of a host."""

    def __init__(self, host: LocalHost, name: str, container_id: str) -> None:
        self.host = host
        self.name = name
        self.container_id = container_id

    async def run(self, workload: Workload) -> float | None:
        """See `System`. It asks the host for the container as the server does for each call."""
        watch = Stopwatch()
        await run_in(await self.host.get(self.container_id), workload)
        return watch.read()


async def run_in(container: LocalContainer, workload: Workload) -> None:
    """One request; anything but success is an error."""
    result = await container.run(workload.argv, env={}, timeout=60)
    if result.return_code != 0:
        raise RuntimeError(f"{workload.name} ended with {result.return_code}: {result.stderr.head.decode()}")


@contextlib.asynccontextmanager
async def opened(rootfs: Path, runtime: str, *, places: int = 100, ready: int = 0) -> AsyncIterator[LocalHost]:
    """A host of its own, in a directory that is removed at the end, with so many containers in its pool."""
    with tempfile.TemporaryDirectory(prefix="cove-bench-") as directory:
        pool = PoolSize(ready, ready)
        config = HostConfig(Path(directory), rootfs, runtime=runtime, max_containers=places, idle_sleep=None, pool=pool)
        async with LocalHost(config) as host:
            yield host


@contextlib.asynccontextmanager
async def hosts(rootfs: Path, runtimes: Sequence[str]) -> AsyncIterator[list[Sandboxed]]:
    """A host of each of these runtimes that is installed, with one container."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for runtime in filter(shutil.which, runtimes):
            host = await stack.enter_async_context(opened(rootfs, runtime))
            container = await host.create(new_name())
            made.append(Sandboxed(host, runtime, container.id))
        yield made
