"""The declared tables. The migrations add up to exactly these (a test proves it).

Moments are seconds since the epoch as double precision, durations are milliseconds. Texts that hold JSON end
in `_json` and are canonical enough to be read by any tool; the store never queries inside them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("spec_json", Text, nullable=False),
    Column("spec_sha256", Text, nullable=False),
    Column("fleet_json", Text, nullable=False),
    Column("idempotency_key", Text, unique=True),
    Column("status", Text, nullable=False),
    Column("verdict", Text),
    Column("error", Text),
    Column("generation", Integer, nullable=False, server_default=text("1")),
    # seq numbers the job's events without gaps; every change of the job or of an execution raises it.
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("total", Integer, nullable=False),
    # Shards whose executions are stored; admission of a large job is resumed from here.
    _count("admitted_shards"),
    _flag("admitted"),
    _count("done"),
    _count("running"),
    _count("retrying"),
    _count("completed"),
    _count("failed"),
    _count("timed_out"),
    _count("cancelled"),
    _flag("simulated"),
    _flag("replayed"),
    Column("cost_usd", Double, nullable=False, server_default=text("0")),
    # Completed executions whose cost is not known: cost_usd is a lower bound where this is not 0.
    _count("cost_unknown"),
    # Why the rest of the job is to end early: cancelled, job_deadline, cost_ceiling, straggler.
    Column("stop_kind", Text),
    Column("stop_requested_at", Double),
    Column("finalizer", Text),
    Column("finalizer_until", Double),
    Column("finalize_step", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("last_finished_at", Double),
    Column("finalizing_at", Double),
    Column("completed_at", Double),
    Index(None, "created_at"),
    Index(None, "status"),
)

shards = Table(
    "shards",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("region", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    _count("done"),
    # The fencing token, raised whenever a runner takes the shard: an older one is refused.
    _count("epoch"),
    Column("owner", Text),
    Column("lease_until", Double),
    Index(None, "job_id", "region", "number"),
    Index(None, "owner"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("question_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("persona", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("kind", Text),
    Column("stage", Text),
    Column("error", Text),
    _count("attempts"),
    # Attempts that count towards limits.max_attempts since the execution was last reopened.
    _count("counted"),
    Column("provider", Text),
    Column("queued_at", Double, nullable=False),
    Column("deadline_at", Double),
    Column("started_at", Double),
    Column("first_token_at", Double),
    Column("finished_at", Double),
    Column("persisted_at", Double),
    Column("duration_ms", Double),
    # While it is retrying: when its next attempt may be sent.
    Column("next_attempt_at", Double),
    Index(None, "job_id", "ordinal", unique=True),
    Index(None, "job_id", "shard", "ordinal"),
    ForeignKeyConstraint(["job_id", "shard"], ["shards.job_id", "shards.number"]),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    # The key under which the answer can be fetched.
    Column("id", Text, primary_key=True),
    Column("execution_id", Text, ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    # sent, answered, failed, interrupted (its runner stopped), refused (another result was first), late
    Column("status", Text, nullable=False),
    Column("kind", Text),
    Column("stage", Text),
    Column("error", Text),
    Column("counts", Boolean, nullable=False, server_default=text("true")),
    # How the provider itself refers to it, where it keeps the result under a name of its own.
    Column("call_id", Text),
    Column("written_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("stages_json", Text),
    # An answer that is no result: late, or from another region or model.
    Column("kept_json", Text),
    Index(None, "execution_id", "number", unique=True),
    sqlite_with_rowid=False,
)

results = Table(
    "results",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt_id", Text, ForeignKey("attempts.id", ondelete="CASCADE"), nullable=False),
    Column("answer", Text, nullable=False),
    Column("finish_reason", Text),
    Column("retracted", Boolean, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model_echoed", Text),
    Column("region_stated", Text),
    Column("region_evidence", Text, nullable=False),
    Column("upstream", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Double),
    Column("simulated", Boolean, nullable=False),
    Column("replayed", Boolean, nullable=False),
    Column("served_at", Double),
)

labels = Table(
    "labels",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    # rule, model, judge:NAME, person:NAME, import:NAME
    Column("source", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("score", Double),
    Column("reason", Text),
    Column("flags", Text, nullable=False, server_default=text("''")),
    Column("labelled_at", Double, nullable=False),
    # Of the classifier or the rubric; null for people and imports, and where it was not recorded.
    Column("version", Text),
    sqlite_with_rowid=False,
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("model", Text, primary_key=True),
    # SHA-256 of the text.
    Column("digest", Text, primary_key=True),
    # Little-endian 32-bit floats.
    Column("vector", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

judgements = Table(
    "judgements",
    metadata,
    # Of rubric, judge, question and answer: the same four are judged once.
    Column("digest", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("rubric", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Dollars; null where the provider's price is unknown.
    Column("cost_usd", Double),
    Column("judged_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    # group, status, operator
    Column("kind", Text, nullable=False),
    Column("data_json", Text, nullable=False),
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, nullable=False),
    Column("method", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("document_json", Text, nullable=False),
)

seals = Table(
    "seals",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
    Column("document_json", Text, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", Integer, primary_key=True),
    # portal_load_ms, live_accuracy
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("value", Double, nullable=False),
    Index(None, "at"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("document_json", Text, nullable=False),
    sqlite_with_rowid=False,
)

workers = Table(
    "workers",
    metadata,
    # As leases name it; the row is renewed with them.
    Column("owner", Text, primary_key=True),
    # Those that it serves, separated by spaces.
    Column("regions", Text, nullable=False),
    # Shards that it drives at once, per region.
    Column("concurrency", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("alive_until", Double, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    # A provider or a region, which takes no new work until it is resumed.
    Column("name", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("paused_at", Double, nullable=False),
)

limits = Table(
    "limits",
    metadata,
    # A provider or a region: so many requests under way at each provider of it, in each process, and no more.
    Column("name", Text, primary_key=True),
    Column("at_most", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("set_at", Double, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    # In UTC.
    Column("cron", Text, nullable=False),
    Column("spec_json", Text, nullable=False),
    Column("fleet_json", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("removed_at", Double),
)

ticks = Table(
    "ticks",
    metadata,
    # One row a tick, whoever was first: it is what makes a job start exactly once.
    Column("schedule_id", Text, ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    Column("tick_at", Double, primary_key=True, autoincrement=False),
    Column("fired_at", Double, nullable=False),
    # None where it came too late to be run.
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="SET NULL")),
)
