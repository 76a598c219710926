"""What is kept of a container in its directory, beside its disk: enough to find it again after a restart.

`record.json` is replaced as a whole, so there is always an old one or a new one. A directory without one is of a
container that was never finished.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from codecove.sandbox.limits import Limits

_BLOCK = 1 << 20
NAME = "record.json"
CHECKPOINT = "checkpoint"
"""The directory of the processes' memory, within the container's."""
LOG = "runtime.log"
"""What the runtime says, on its standard error."""
UNSLEPT = "the server ended without putting it to sleep"
"""What the record of one that is awake says: it counts when the server is killed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A finished image of a container's processes. It fits the disk only as long as nothing runs on that disk."""

    identity: str
    """Of the runtime, the image and the agent that it was made with: it can be restored with the same alone."""
    digest: str
    background: bool = True
    """Whether some of them are the user's."""


@dataclass(frozen=True, slots=True)
class Record:
    """What `record.json` says."""

    container_id: str
    limits: Limits
    checkpoint: Checkpoint | None = None
    without: str = UNSLEPT
    """Why there is no checkpoint, if there is none."""
    last_words: str = ""
    """If its sandbox died: the last lines that the runtime wrote. For the operator."""


def write(directory: Path, record: Record, *, sync: bool = True) -> None:
    """Replace the record; on the disk when this returns, unless it may `sync` later. Raises `OSError`."""
    made = directory / f".{NAME}"
    with made.open("w") as file:
        json.dump(dataclasses.asdict(record), file)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    made.rename(directory / NAME)
    if sync:
        _sync(directory)


def read(directory: Path) -> Record | None:
    """None if there is none that can be read: the container was never finished."""
    try:
        data = json.loads((directory / NAME).read_text())
        checkpoint = data["checkpoint"]
        return Record(
            container_id=data["container_id"],
            limits=Limits(**data["limits"]),
            checkpoint=None if checkpoint is None else Checkpoint(**checkpoint),
            without=data["without"],
            last_words=data.get("last_words", ""),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest(checkpoint: Path) -> str:
    """SHA-256 over the names and contents of a checkpoint's files, which are on the disk after it. Raises `OSError`."""
    total = hashlib.sha256()
    for path in sorted(checkpoint.iterdir()):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{os.fstat(file.fileno()).st_size}\0".encode())
            while block := file.read(_BLOCK):
                total.update(block)
            os.fsync(file.fileno())
    return total.hexdigest()


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
