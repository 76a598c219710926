"""The meter: what executions take, the sessions of containers, sums of days."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _executions()
    _sessions()
    _days()


def _executions() -> None:
    for column in ("key_id", "request_id"):
        op.add_column("executions", sa.Column(column, sa.String(), nullable=True))
    op.add_column("executions", sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True))
    for column in ("microseconds", "cpu_microseconds", "peak_memory_bytes", "output_bytes"):
        op.add_column("executions", sa.Column(column, sa.BigInteger(), nullable=True))
    op.execute("UPDATE executions SET microseconds = CAST(ROUND(seconds * 1000000) AS BIGINT) WHERE seconds >= 0")
    op.create_index(op.f("ix_executions_key_id_started_at"), "executions", ["key_id", "started_at"])
    op.create_index(op.f("ix_executions_started_at"), "executions", ["started_at"])


def _sessions() -> None:
    op.create_table(
        "container_sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("container_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("billed_microseconds", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_container_sessions_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_container_sessions")),
    )
    for columns in (["container_id", "started_at"], ["workspace_id", "started_at"], ["started_at"]):
        op.create_index(op.f(f"ix_container_sessions_{'_'.join(columns)}"), "container_sessions", columns)


def _days() -> None:
    op.create_table(
        "usage_days",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("day", "workspace_id", "key_id", "tool")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("executions", "errors")),
        sa.Column("microseconds", sa.BigInteger(), nullable=False),
        sa.Column("cpu_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("output_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("session_microseconds", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_usage_days_workspace_id")),
        sa.PrimaryKeyConstraint("day", "workspace_id", "key_id", "tool", name=op.f("pk_usage_days")),
    )
