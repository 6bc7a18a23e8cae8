"""By which classifier or rubric a label was given, so that runs labelled by different ones are told apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("labels", sa.Column("version", sa.Text(), nullable=True))
