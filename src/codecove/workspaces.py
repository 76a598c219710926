"""Workspaces: who owns what. Files, containers and keys belong to one, and nothing of one is visible in another."""

from dataclasses import dataclass
from typing import Literal

DEFAULT_WORKSPACE_ID = "wrkspc_01" + "0" * 22
"""The workspace that every database has from its first migration on."""

Role = Literal["user", "admin"]
"""What a key may do: work in its own workspace, or in every workspace by naming it."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a workspace may use. None: no limit but the server's own."""

    containers: int | None = None
    """Running at once."""
    executions: int | None = None
    """Running at once."""
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the workspace that it works in, and the key."""

    workspace_id: str
    key_id: str
    role: Role = "user"
    quotas: Quotas = Quotas()
