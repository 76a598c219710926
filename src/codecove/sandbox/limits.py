"""What one container may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Enforced by the kernel, the runtime or the guest agent; docs/security.md says which by what."""

    memory_bytes: int = 2**30
    disk_bytes: int = 5 * 2**30
    cpus: float = 1.0
    processes: int = 128
    open_files: int = 4096
    """Of one process."""
    output_bytes: int = 2**20
    """Kept of each output stream of one execution; more is read and dropped."""
