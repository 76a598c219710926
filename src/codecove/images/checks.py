"""Use everything that an image promises, once: the scripts of `image/checks`, run in a container as any code is.

A script is good when it ends with 0; the last line it prints says what it did.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from codecove.sandbox.host import Container, Execution
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import HostConfig, LocalHost

_PLACE = "/tmp/checks"  # noqa: S108 - inside the container
_DATA = f"{_PLACE}/data"
_SECONDS = 60.0
_CONTAINER = "image-test"


@dataclass(frozen=True, slots=True)
class Check:
    """One script."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def command(self) -> list[str]:
        """Without the script's own directory on Python's path: there, `pandas.py` would be pandas."""
        inside = f"{_PLACE}/{self.path.name}"
        return ["python3", "-P", inside] if self.path.suffix == ".py" else ["bash", "-eu", "-o", "pipefail", inside]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one check."""

    check: Check
    passed: bool
    seconds: float
    text: str
    """What it did, or the end of what it printed when it failed."""


def find_checks(directory: Path, names: Sequence[str] = ()) -> list[Check]:
    """Those named, or all. Raises `ValueError` for a name that is none."""
    checks = {path.stem: Check(path) for path in sorted(directory.glob("*")) if path.suffix in {".py", ".sh"}}
    for name in names:
        if name not in checks:
            raise ValueError(f"no check is named {name!r}; there are: {', '.join(checks)}")
    return [checks[name] for name in names or checks]


@asynccontextmanager
async def container_of(rootfs: Path, runtime: str, limits: Limits) -> AsyncIterator[Container]:
    """One container of that root file system, on a host of its own in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="codecove-image-test-"))
    try:
        async with LocalHost(HostConfig(directory, rootfs, runtime, limits)) as host:
            yield await host.create(_CONTAINER)
    finally:
        shutil.rmtree(directory)


async def run_checks(container: Container, checks: Sequence[Check]) -> AsyncIterator[Outcome]:
    """Run them one after another, each in an empty directory."""
    for directory in {check.path.parent for check in checks}:
        for file in sorted((directory / "data").iterdir()):
            if file.is_file():
                await container.write_file(f"{_DATA}/{file.name}", file.read_bytes())
    for check in checks:
        yield await _run(container, check)


async def _run(container: Container, check: Check) -> Outcome:
    await container.write_file(f"{_PLACE}/{check.path.name}", check.path.read_bytes())
    cwd = f"{_PLACE}/work/{check.name}"
    for error in filter(None, await container.make_directories([cwd])):
        raise error
    environment = {"CHECK_DATA": _DATA, "PYTHONPATH": _DATA}
    execution = await container.run(check.command(), env=environment, timeout=_SECONDS, cwd=cwd)
    passed = execution.return_code == 0 and not execution.timed_out
    return Outcome(check, passed, execution.seconds, _text(execution, passed))


def _text(execution: Execution, passed: bool) -> str:
    if execution.timed_out:
        return f"not done after {_SECONDS:.0f} s"
    said = [
        (stream.head + stream.tail).decode(errors="replace").strip() for stream in (execution.stdout, execution.stderr)
    ]
    if passed:
        return (said[0].splitlines() or ["passed"])[-1]
    why = "killed for memory" if execution.out_of_memory else f"return code {execution.return_code}"
    return "\n".join(filter(None, [why, *said]))[-1500:]
