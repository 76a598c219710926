"""Seconds of executions, which are microseconds since 0005."""

from alembic import op

revision = "post_0001"
down_revision = None
depends_on = "0005"


def upgrade() -> None:
    # An older server that ran beside 0005 has written seconds alone.
    op.execute(
        "UPDATE executions SET microseconds = CAST(ROUND(seconds * 1000000) AS BIGINT) "
        "WHERE microseconds IS NULL AND seconds >= 0"
    )
    op.drop_column("executions", "seconds")
