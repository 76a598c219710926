"""What a host needs to know."""

from dataclasses import dataclass, field
from pathlib import Path

from codecove.sandbox.admission import Bounds
from codecove.sandbox.limits import Limits
from codecove.sandbox.pool import PoolSize
from codecove.sandbox.rest import Freezing


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Times are in seconds."""

    directory: Path
    """Everything that the sandbox makes for containers lies below it. One server at a time."""
    rootfs: Path
    """The root file system of the image. Never written to."""
    runtime: str = "runsc"
    """`runsc`, `crun` or `runc`, or a path to one."""
    limits: Limits = field(default_factory=Limits)
    max_containers: int = 100
    """Awake at once. Those that sleep take nothing but disk, and are bounded by that."""
    memory_reserve: int = 256 * 2**20
    """Bytes of the machine's memory that are left to all else."""
    memory_overcommit: float = 8.0
    """See `admission.py`."""
    admission_wait: float = 10.0
    """How long a container that is to start or wake waits for room."""
    boot_timeout: float = 30.0
    freezing: Freezing = field(default_factory=Freezing)
    idle_sleep: float | None = 300.0
    """Time without a call after which a container goes to sleep. None: never."""
    pool: PoolSize = field(default_factory=PoolSize)
    expedite: bool = True
    """Whether the machine's kernel may be told to shorten its grace periods while the host is open: `grace.py`."""
    programs: Path | None = None
    """Where hosts share what is compiled from the same sources. None: below `directory`."""

    @property
    def bounds(self) -> Bounds:
        """What those that are awake are held to together."""
        return Bounds(self.max_containers, self.memory_reserve, self.memory_overcommit)
