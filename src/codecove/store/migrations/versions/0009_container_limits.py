"""Limits of containers that are a workspace's own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for column in (
        sa.Column("container_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("container_disk_bytes", sa.BigInteger(), nullable=True),
        sa.Column("container_cpus", sa.Double(), nullable=True),
        sa.Column("container_processes", sa.Integer(), nullable=True),
        sa.Column("execution_timeout", sa.Double(), nullable=True),
    ):
        op.add_column("workspaces", column)
