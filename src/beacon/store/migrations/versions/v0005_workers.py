"""Workers: who they are, and on PostgreSQL the tables of the engine that hands them their tasks.

The engine's schema is taken from its package, whose minor version is pinned; the comment on its table says which
release made it. A revision that raises the pin applies the files of `procrastinate/sql/migrations` that are newer.
"""

from __future__ import annotations

from importlib import import_module, metadata

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("alive_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_workers"),
    )
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    # Imported on demand: an embedded Beacon needs no engine.
    schema = import_module("procrastinate.schema").SchemaManager.get_schema()
    bind.exec_driver_sql(schema.replace("%", "%%"))
    release = metadata.version("procrastinate")
    bind.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS 'schema of procrastinate {release}'")
