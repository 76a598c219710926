"""How the tests' hosts are made."""

from pathlib import Path
from typing import Any

from codecove.sandbox.local import HostConfig
from codecove.settings import Settings


def host_config(directory: Path, rootfs: Path, **values: Any) -> HostConfig:
    """A host in this directory, which shares what is compiled for containers with the machine's servers: it takes a
    second of a processor."""
    return HostConfig(directory, rootfs, programs=Settings().image_dir / ".guest", **values)
