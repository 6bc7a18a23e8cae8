"""PostgreSQL's form of the group commit."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FUNCTION = Path(__file__).parent.parent / "sql" / "record_group_0003.sql"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        bind.exec_driver_sql(FUNCTION.read_text().replace("%", "%%"))
