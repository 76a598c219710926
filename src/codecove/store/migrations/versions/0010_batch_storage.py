"""Batches count to the storage of their workspaces: those made from now on."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("batches", sa.Column("stored_bytes", sa.BigInteger(), nullable=False, server_default="0"))
