"""When an execution that is retried is sent again, so that who asks can be told what it waits for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("next_attempt_at", sa.Double(), nullable=True))
