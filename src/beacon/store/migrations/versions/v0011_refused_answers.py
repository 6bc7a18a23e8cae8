"""PostgreSQL's group commit makes what is kept of a refused answer itself: no answer is sent twice for it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FUNCTION = Path(__file__).parent.parent / "sql" / "record_group_0011.sql"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        bind.exec_driver_sql(FUNCTION.read_text().replace("%", "%%"))
