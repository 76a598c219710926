"""Quotas of workspaces, roles of keys, the end of containers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ENDED = """
UPDATE containers SET ended_at = (
    SELECT max(at) FROM container_events WHERE container_events.container_id = containers.id
) WHERE state != 'running'
"""


def upgrade() -> None:
    for quota in ("max_containers", "max_executions", "requests_per_minute"):
        op.add_column("workspaces", sa.Column(quota, sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("role", sa.String(length=16), nullable=False, server_default="user"))
    op.add_column("containers", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(_ENDED)
    op.create_index(op.f("ix_containers_workspace_id_created_at"), "containers", ["workspace_id", "created_at"])
    op.create_index(op.f("ix_executions_container_id_started_at"), "executions", ["container_id", "started_at"])
