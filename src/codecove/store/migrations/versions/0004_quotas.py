"""Quotas of keys, beside those of workspaces; seconds of execution a day, and storage."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("workspaces", "api_keys"):
        op.add_column(table, sa.Column("execution_seconds_per_day", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("max_storage_bytes", sa.BigInteger(), nullable=True))
    for quota in ("max_containers", "max_executions", "requests_per_minute"):
        op.add_column("api_keys", sa.Column(quota, sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("storage_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    for table in ("containers", "files"):
        op.add_column(table, sa.Column("key_id", sa.String(), nullable=True))
