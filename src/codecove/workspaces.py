"""Workspaces: who owns what. Files, containers and keys belong to one, and nothing of one is visible in another."""

from dataclasses import dataclass

DEFAULT_WORKSPACE_ID = "wrkspc_01" + "0" * 22
"""The workspace that every database has from its first migration on."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the workspace that its API key belongs to, and the key."""

    workspace_id: str
    key_id: str
