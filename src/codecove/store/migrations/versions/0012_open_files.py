"""How many files each process of a workspace's containers may have open."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("container_open_files", sa.Integer(), nullable=True))
