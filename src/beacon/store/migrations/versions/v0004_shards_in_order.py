"""A shard's executions are found in their order, and a change of status touches no index."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_executions_job_id_shard_ordinal", "executions", ["job_id", "shard", "ordinal"])
    op.drop_index("ix_executions_job_id_shard_status", "executions")
