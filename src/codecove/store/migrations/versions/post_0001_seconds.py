"""Seconds of executions, which are microseconds since 0005."""

from alembic import op

revision = "post_0001"
down_revision = None
depends_on = "0005"


def upgrade() -> None:
    op.drop_column("executions", "seconds")
