"""Real `cove serve` processes, and the check that none of them leaves anything behind."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from codecove.demo.process import ServerProcess, running_server, temporary_data_dir
from tests.support.disks import loop_devices

KEY = "cove-tests"

# The tests of one session make hundreds of containers and come back to none of them after half a minute. What most of
# them look at is the same with either runtime, and crun takes half the processor time.
_USUAL = {
    "COVE_API_KEY": KEY,
    "COVE_MAX_CONTAINERS": "1000",
    "COVE_CONTAINER_IDLE_EXPIRY": "30",
    "COVE_POOL_MAX": "1",
    "COVE_RUNTIME": "crun",
}
GVISOR = {"COVE_RUNTIME": "runsc"}
"""For tests that look at what runs in containers and what becomes of it."""


@dataclass(frozen=True)
class Server:
    """A server under test, started by the tests or by somebody else."""

    url: str
    api_key: str
    process: ServerProcess | None = None
    """None: it was given with `--base-url`."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request needs."""
        return {"x-api-key": self.api_key, "anthropic-version": "2023-06-01"}


class Servers:
    """Servers by their settings, each started when first asked for and stopped when the session ends."""

    def __init__(self, stack: contextlib.ExitStack, upstream_url: str, given: Server | None = None) -> None:
        self._stack = stack
        self._upstream = {"COVE_UPSTREAM_URL": upstream_url, "COVE_UPSTREAM_API_KEY": "upstream-key"}
        self._given = given
        self._running: dict[str, Server] = {}

    def get(self, environment: Mapping[str, str] | None = None) -> Server | None:
        """The server with these `COVE_*` settings beside the usual ones; None if it can't be had.

        A server given with `--base-url` has the usual settings and no others.
        """
        if self._given is not None:
            return None if environment else self._given
        unusual = {name: value for name, value in (environment or {}).items() if _USUAL.get(name) != value}
        wanted = self._upstream | unusual
        name = json.dumps(wanted, sort_keys=True)
        if name not in self._running:
            self._running[name] = self._stack.enter_context(started(wanted))
        return self._running[name]


@contextlib.contextmanager
def started(environment: Mapping[str, str]) -> Iterator[Server]:
    """A server with a data directory of its own. When the block ends it is stopped, and nothing of it is left."""
    with temporary_data_dir() as data_dir:
        with running_server(data_dir, _USUAL | dict(environment)) as process:
            yield Server(process.url, KEY, process)
        assert process.exit_code == 0, f"the server ended with {process.exit_code}:\n{process.log}"
        left = leftovers(data_dir)
        assert left == [], left


def leftovers(data_dir: Path) -> list[str]:
    """What belongs to a server's data directory, and stays there.

    The kernel lets go of a disk when nobody looks at it any more, which others on the machine may do.
    """
    deadline = time.monotonic() + 20
    while (left := belongings(data_dir)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def belongings(data_dir: Path) -> list[str]:
    """Processes, mounts, loop devices and cgroups of a server, by its data directory."""
    mark = str(data_dir)
    found = [f"process {line}" for line in _command_lines() if mark in line]
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if mark in line]
    found += [f"loop device {device}" for device in loop_devices(data_dir)]
    return found + [f"cgroup {path}" for path in _cgroups(data_dir)]


def _cgroups(data_dir: Path) -> Iterator[Path]:
    """The sandbox names its cgroup after a hash of the directory that it works in."""
    for directory in (data_dir, *data_dir.iterdir()):
        digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()
        for pattern in ("codecove-{}", "*/codecove-{}"):
            yield from Path("/sys/fs/cgroup").glob(pattern.format(digest[:12]))


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield f"{path.parent.name}: {path.read_bytes().replace(bytes(1), b' ').decode(errors='replace')}"


def wait_until(condition: Callable[[], bool], message: str, *, seconds: float = 20) -> None:
    """Poll until the condition holds; fail with the message when it does not in time."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)  # most conditions ask the server, which has other things to do
