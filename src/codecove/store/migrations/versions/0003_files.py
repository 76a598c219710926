"""Files that expire, a workspace's use of storage, and what a crash may leave in the blob store."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("files", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_files_expires_at"), "files", ["expires_at"], unique=False)
    op.add_column("workspaces", sa.Column("storage_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE workspaces SET storage_bytes = "
        "(SELECT COALESCE(SUM(size_bytes), 0) FROM files WHERE files.workspace_id = workspaces.id)"
    )
    op.create_table(
        "deleted_files",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_deleted_files_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deleted_files")),
    )
    op.create_index(op.f("ix_deleted_files_deleted_at"), "deleted_files", ["deleted_at"], unique=False)
    op.create_table(
        "unowned_blobs",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("doomed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unowned_blobs")),
    )
