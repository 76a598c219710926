"""What the sandbox raises.

SandboxError
├── ContainerNotFound      no container of that id on this host
├── ContainerExpired       its time is over: it and its files are gone
├── ContainerUnavailable   it could not be started, or died: a fault of ours or of the machine
│   └── ContainerLost      and it never can be again: its files are gone or damaged
├── HostFull               no room for another container (count, memory or disk of the host)
├── TerminalRefused        no terminal in it now: too many are open
└── GuestFileError         a path inside the container: the caller's or the model's mistake
"""

import errno
import os


class SandboxError(Exception):
    """Base of all that the sandbox raises on purpose."""


class ContainerNotFound(SandboxError):
    """No container of that id on this host."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"no container {container_id!r} on this host")
        self.container_id = container_id


class ContainerExpired(SandboxError):
    """The container's time is over: it and its files are gone."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"container {container_id!r} has expired")
        self.container_id = container_id


class ContainerUnavailable(SandboxError):
    """The container can't serve: it did not boot, or its sandbox or agent died.

    `detail` has the runtime's own last lines: for the log and the operator, never for the model.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ContainerLost(ContainerUnavailable):
    """The container can't be brought back: its disk is gone or damaged."""


class HostFull(SandboxError):
    """No room for another container now."""


class TerminalRefused(SandboxError):
    """There is no terminal for another program in the container now."""


class GuestFileError(SandboxError):
    """An operation on a path inside a container failed with a system error number."""

    def __init__(self, number: int, path: str) -> None:
        super().__init__(f"{path}: {os.strerror(number)}")
        self.errno = number
        self.path = path

    @property
    def is_missing(self) -> bool:
        """Whether the path, or a directory on the way to it, does not exist."""
        return self.errno in (errno.ENOENT, errno.ENOTDIR)
