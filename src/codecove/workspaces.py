"""Workspaces: who owns what. Files, containers and keys belong to one, and nothing of one is visible in another."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

DEFAULT_WORKSPACE_ID = "wrkspc_01" + "0" * 22
"""The workspace that every database has from its first migration on."""

Role = Literal["user", "admin"]
"""What a key may do: work in its own workspace, or in every workspace by naming it."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a workspace, or one of its keys, may use. None: no limit but the next wider one."""

    containers: int | None = None
    """Running at once."""
    executions: int | None = None
    """Running at once."""
    requests_per_minute: int | None = None
    execution_seconds_per_day: int | None = None
    """Of the day in UTC."""
    storage_bytes: int | None = None
    """Of files."""

    def to_dict(self) -> dict[str, int | None]:
        """By name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What each container of a workspace may use. None: what the server's settings say."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None
    cpus: float | None = None
    processes: int | None = None
    open_files: int | None = None
    execution_timeout: float | None = None
    """Seconds of one execution. Holds from the next one on; the others are of the containers made from then on."""

    def to_dict(self) -> dict[str, float | None]:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def given(self) -> dict[str, Any]:
        """By name, those that are not the settings'."""
        return {name: value for name, value in self.to_dict().items() if value is not None}

    def for_container(self) -> dict[str, Any]:
        """The same without the time: what a container has from its creation on."""
        return {name: value for name, value in self.given().items() if name != "execution_timeout"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the workspace that it works in, and the key. It is held to the quotas of both."""

    workspace_id: str
    key_id: str
    role: Role = "user"
    quotas: Quotas = Quotas()
    """The workspace's."""
    key_quotas: Quotas = Quotas()
    container_limits: ContainerLimits = ContainerLimits()
    """Of the workspace."""
    request_id: str | None = None
    """`req_…`, of a batch `msgbatch_…`; what runs for it is recorded under it."""

    @property
    def limits(self) -> tuple[tuple[str, str, Quotas], ...]:
        """Whom a use counts to: for the workspace and for the key its kind, its id and its quotas."""
        return ("workspace", self.workspace_id, self.quotas), ("key", self.key_id, self.key_quotas)
