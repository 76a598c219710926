"""The audit log, and the hash of what was executed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("executions", sa.Column("input_sha256", sa.String(), nullable=True))
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("actor", "action", "target")),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("workspace_id", "request_id")),
        sa.Column("details", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_events_at"), "audit_events", ["at"])
