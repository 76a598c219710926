"""Checkpoints of fresh containers in which a warm interpreter waits: a container restored from one has it at once.

One for each set of limits, made in a container that nobody ever uses, on the ground (runtime, image, agent) that
it can be restored on. The files are checked by their SHA-256 before a server first uses them, and by what the file
system says of them before each use.
"""

import asyncio
import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path

from codecove.sandbox import record
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.finish import uncancelled
from codecove.sandbox.limits import Limits
from codecove.sandbox.premises import Premises
from codecove.sandbox.warm import Warmth

_log = logging.getLogger(__name__)

_PREFIX = "warm-"
_DIGEST = ".sha256"
_ATTEMPTS = 3
_MOST = 4
"""Of one host: each takes some 150 MiB of its disk. Older ones, of other limits or of an older image, are removed."""
_Signature = tuple[tuple[str, int, int, int], ...]


class Templates:
    """Those of one host."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._checked: dict[Path, _Signature] = {}
        self._attempts: dict[Path, int] = {}
        self._work: dict[Path, asyncio.Task[None]] = {}

    def ready(self, limits: Limits) -> Path | None:
        """A checkpoint to restore a container of these limits from, if there is one that is known to be good."""
        path = self._path(limits)
        if path in self._checked and self._checked[path] != _signature(path):
            _log.warning("the template %s has changed: it is made anew", path.name)
            del self._checked[path]
        return path if path in self._checked else None

    def want(self, limits: Limits) -> None:
        """See that there will be one. Returns at once."""
        path = self._path(limits)
        if path in self._checked or path in self._work or not self._premises.ground.runtime.checkpoints:
            return
        if self._attempts.get(path, 0) == _ATTEMPTS:
            return
        self._attempts[path] = self._attempts.get(path, 0) + 1
        self._work[path] = asyncio.create_task(self._provide(path, limits), name=f"provide {path.name}")
        self._work[path].add_done_callback(lambda _: self._work.pop(path, None))

    def reject(self, path: Path) -> None:
        """It could not be restored."""
        self._checked.pop(path, None)
        path.with_suffix(_DIGEST).unlink(missing_ok=True)

    async def close(self) -> None:
        """Stop making any."""
        for task in list(self._work.values()):
            task.cancel()
        if self._work:
            await asyncio.wait(list(self._work.values()))

    def _path(self, limits: Limits) -> Path:
        parts = json.dumps([self._premises.ground.identity, dataclasses.asdict(limits)])
        return self._premises.templates / (_PREFIX + hashlib.sha256(parts.encode()).hexdigest()[:16])

    async def _provide(self, path: Path, limits: Limits) -> None:
        try:
            if not await asyncio.to_thread(_is_good, path):
                await asyncio.to_thread(_drop, path)
                await self._make(path, limits)
            self._checked[path] = _signature(path)
        except (SandboxError, OSError) as error:
            _log.warning("no template of a warm container: %s", error)

    async def _make(self, path: Path, limits: Limits) -> None:
        site, ground = self._premises.new_site(), self._premises.ground
        try:
            await site.create(await self._premises.template(limits))
            connection = await site.boot(limits, rootfs=ground.rootfs, built=ground.built)
            try:
                warmth = Warmth(connection, on=False)
                await warmth.start_single()
                if not warmth.is_on or not await connection.is_quiet():
                    raise SandboxError("the image has no warm interpreter")
                digest = await site.checkpoint()
            finally:
                connection.end("the template is made")
            site.checkpoint_directory.rename(path)
            path.with_suffix(_DIGEST).write_text(digest)
            await asyncio.to_thread(_drop_oldest, path.parent)
        finally:
            await uncancelled(site.destroy())
        _log.info("made a template of a warm container: %s", path.name)


def _is_good(path: Path) -> bool:
    try:
        return path.with_suffix(_DIGEST).read_text() == record.digest(path)
    except OSError:
        return False


def _drop(path: Path) -> None:
    path.with_suffix(_DIGEST).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)


def _drop_oldest(directory: Path) -> None:
    made = [path for path in directory.glob(f"{_PREFIX}*") if path.is_dir()]
    for path in sorted(made, key=lambda path: path.stat().st_mtime, reverse=True)[_MOST:]:
        _drop(path)


def _signature(path: Path) -> _Signature:
    try:
        files = sorted((file.name, file.stat()) for file in path.iterdir())
    except OSError:
        return ()
    return tuple((name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in files)
