"""The sandbox: the runtime, the image, and a container that is booted, used and removed."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from codecove import clock, ids, privileges
from codecove.doctor import limits, watched
from codecove.doctor.finding import Finding, bad, good
from codecove.images.errors import ImageError
from codecove.images.library import Library
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.settings import Settings

_VERSION_SECONDS = 10


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """The runtime and the image, and if both are there, a container of them."""
    runtime = await _runtime(settings.runtime)
    yield runtime
    image, rootfs = _image(settings)
    yield image
    if runtime.verdict == "bad" or rootfs is None:
        return
    async for finding in _container(settings, rootfs):
        yield finding


async def _runtime(name: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        remedy = (
            "Install gVisor's runsc (Debian: apt install runsc), or set COVE_RUNTIME to another runtime or its path."
        )
        return bad("runtime", f"{name} is not on the PATH", remedy)
    try:
        run = await asyncio.to_thread(_version, path)
    except (OSError, subprocess.TimeoutExpired) as error:
        return bad("runtime", f"{path}: {error}", "Install it again: it does not run.")
    version = run.stdout.strip().splitlines()
    if run.returncode != 0 or not version:
        return bad("runtime", f"{path} --version exits with {run.returncode}", "Install it again: it does not run.")
    platform = ", platform systrap" if Path(path).name == "runsc" else ", without gVisor's own kernel"
    return good("runtime", f"{version[0]} ({path}{platform})")


def _version(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # the runtime that the operator has configured
        [path, "--version"], capture_output=True, text=True, errors="replace", timeout=_VERSION_SECONDS, check=False
    )


def _image(settings: Settings) -> tuple[Finding, Path | None]:
    try:
        image = Library(settings.image_dir).resolve(settings.image)
    except ImageError as error:
        return bad("image", str(error), "Build it: cove image build"), None
    return good("image", f"{image.name or 'unnamed'} {image.id} in {settings.image_dir}"), image.rootfs


async def _container(settings: Settings, rootfs: Path) -> AsyncIterator[Finding]:
    """In a directory of its own beside the server's, so that it can be checked while the server runs."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="doctor-", dir=settings.data_dir))
    except OSError as error:
        yield bad("container", f"{settings.data_dir}: {error.strerror}", "Choose another data directory.")
        return
    config = HostConfig(directory=directory, rootfs=rootfs, runtime=settings.runtime, limits=limits.SMALL)
    try:
        async for finding in _use(config):
            yield finding
    finally:
        removed = await asyncio.to_thread(_remove, directory)
    yield removed


async def _use(config: HostConfig) -> AsyncIterator[Finding]:
    rootless = privileges.in_user_namespace()
    try:
        async with LocalHost(config) as host:
            begun = clock.monotonic()
            container = await host.create(ids.new("container"))
            booted = clock.monotonic()
            run = await container.run(["python3", "-c", "print(6 * 7)"], env={}, timeout=60)
            if run.stdout.head != b"42\n":
                said = (run.stdout.head + run.stderr.head).decode("utf-8", "replace").strip()
                yield bad("container", f"6 * 7 gave exit {run.return_code}: {said}", "Check it: cove image test")
                return
            yield good("container", f"booted in {booted - begun:.2f} s, ran Python in {run.seconds:.2f} s")
            checks = watched.check(container) if rootless else limits.check(container, config.directory)
            async for finding in checks:
                yield finding
    except (SandboxError, OSError) as error:
        detail = getattr(error, "detail", "")
        yield bad("container", f"{error}\n{detail}".strip(), "See what the runtime says, and docs/operating.md.")


def _remove(directory: Path) -> Finding:
    """Remove the directory, unless something is mounted below it: what is there would go with it."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    if str(directory) in mounts:
        return bad(
            "clean-up", f"something is still mounted below {directory}", "Unmount it, then remove the directory."
        )
    shutil.rmtree(directory)
    return good("clean-up", "the container is gone, with its mounts and files")
