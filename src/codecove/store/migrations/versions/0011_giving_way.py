"""Containers of batches give way to others of their workspace."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("containers", sa.Column("gives_way", sa.Boolean(), nullable=False, server_default=sa.false()))
