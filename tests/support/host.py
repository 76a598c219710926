"""How the tests' hosts are made."""

from pathlib import Path
from typing import Any

from codecove.sandbox.local import HostConfig
from codecove.settings import Settings


def programs() -> Path:
    """Where what is compiled for containers is shared with the machine's servers: it takes a second of a processor."""
    return Settings().image_dir / ".guest"


def host_config(directory: Path, rootfs: Path, **values: Any) -> HostConfig:
    """A host in this directory."""
    return HostConfig(directory, rootfs, programs=programs(), **values)
