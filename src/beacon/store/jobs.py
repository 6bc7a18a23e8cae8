"""Jobs: admission in pieces, reading, and the moves of a job's status that are not the barrier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exists, insert, or_, select, update

from beacon.domain.fleet import Fleet
from beacon.domain.plan import PlannedShard, execution_id
from beacon.domain.spec import JobSpec
from beacon.domain.states import JOB_OVER, ExecutionStatus, JobStatus, Verdict
from beacon.errors import ConflictError, NotFoundError
from beacon.store import ledger
from beacon.store.bulk import Insert
from beacon.store.leases import moment
from beacon.store.ledger import COUNTED
from beacon.store.tables import executions, jobs, shards


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the database has it at `seq`. Moments are seconds since the epoch."""

    id: str
    name: str
    status: JobStatus
    verdict: Verdict | None
    error: str | None
    generation: int
    seq: int
    total: int
    done: int
    counts: dict[str, int]
    admitted: bool
    admitted_shards: int
    simulated: bool
    replayed: bool
    cost_usd: float
    cost_unknown: int
    stop_kind: str | None
    finalize_step: str | None
    created_at: float
    started_at: float | None
    last_finished_at: float | None
    finalizing_at: float | None
    completed_at: float | None

    @property
    def over(self) -> bool:
        return self.status in JOB_OVER

    @property
    def barrier_gap_ms(self) -> float | None:
        """From the last execution's finish to the barrier."""
        if self.finalizing_at is None or self.last_finished_at is None:
            return None
        return max(0.0, (self.finalizing_at - self.last_finished_at) * 1000)

    @property
    def finalizing_ms(self) -> float | None:
        """From the barrier until report and seal were stored."""
        if self.finalizing_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.finalizing_at) * 1000


_PLAIN = (
    "id", "name", "error", "generation", "seq", "total", "done", "admitted", "admitted_shards", "simulated",
    "replayed", "cost_usd", "cost_unknown", "stop_kind", "finalize_step", "created_at", "started_at",
    "last_finished_at", "finalizing_at", "completed_at",
)  # fmt: skip


def _job(row: RowMapping) -> Job:
    counts = {status.value: int(row[status.value]) for status in COUNTED}
    counts[ExecutionStatus.PENDING.value] = row["total"] - sum(counts.values())
    counts["total"] = row["total"]
    verdict = Verdict(row["verdict"]) if row["verdict"] else None
    plain: dict[str, Any] = {name: row[name] for name in _PLAIN}
    return Job(status=JobStatus(row["status"]), verdict=verdict, counts=counts, **plain)


_COLUMNS = tuple(column for column in jobs.c if column.name not in {"spec_json", "fleet_json"})


def create(
    connection: Connection,
    job_id: str,
    spec: JobSpec,
    documents: tuple[str, str, str],
    now: float,
    idempotency_key: str | None = None,
) -> tuple[str, bool]:
    """Stores a new job as `queued`, still without executions.

    `documents` are the spec and the fleet as JSON and the spec's SHA-256. Returns the job's id and whether it
    is new: a repeated `idempotency_key` finds the job that it made. Raises ConflictError where that job has another
    spec.
    """
    spec_json, fleet_json, spec_sha256 = documents
    if idempotency_key is not None:
        same_key = select(jobs.c.id, jobs.c.spec_sha256).where(jobs.c.idempotency_key == idempotency_key)
        known = connection.execute(same_key).first()
        if known is not None and known.spec_sha256 != spec_sha256:
            what = f"the idempotency key has made job {known.id}, which has another spec"
            raise ConflictError(what, where="Idempotency-Key", todo="send a new key with a new job")
        if known is not None:
            return known.id, False
    values = {
        "id": job_id,
        "name": spec.name,
        "spec_json": spec_json,
        "fleet_json": fleet_json,
        "spec_sha256": spec_sha256,
        "idempotency_key": idempotency_key,
        "status": JobStatus.QUEUED.value,
        "total": spec.total,
        "created_at": now,
    }
    connection.execute(insert(jobs).values(values))
    ledger.change_status(connection, job_id, now, {"what": "submitted"})
    return job_id, True


_INSERT_EXECUTION = Insert(
    executions,
    (
        *("id", "job_id", "ordinal", "shard", "question_id", "model", "region", "persona", "language", "repeat"),
        *("status", "queued_at"),
    ),
)


def admit(connection: Connection, job_id: str, planned: Sequence[PlannedShard], now: float) -> None:
    """Stores shards and their executions; shards that are stored already are passed over."""
    ledger.lock_job(connection, job_id)
    known = connection.scalar(select(jobs.c.admitted_shards).where(jobs.c.id == job_id))
    fresh = [shard for shard in planned if shard.number >= (known or 0)]
    if not fresh:
        return
    connection.execute(
        insert(shards),
        [
            {
                "job_id": job_id,
                "number": s.number,
                "region": s.region,
                "block": s.block,
                "size": len(s.executions),
            }
            for s in fresh
        ],
    )
    rows = [
        (
            *(execution_id(job_id, planned.ordinal), job_id, planned.ordinal, planned.shard, planned.question_id),
            *(planned.model, planned.region, planned.persona, planned.language, planned.repeat),
            *(ExecutionStatus.PENDING.value, now),
        )
        for shard in fresh
        for planned in shard.executions
    ]
    _INSERT_EXECUTION.execute(connection, rows)
    admitted = fresh[-1].number + 1
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(admitted_shards=admitted))


def admitted(connection: Connection, job_id: str, now: float) -> None:
    """All shards are stored: the job may be driven. Of several that admitted it, the first says so."""
    ledger.lock_job(connection, job_id)
    if connection.scalar(select(jobs.c.admitted).where(jobs.c.id == job_id)):
        return
    ledger.change_status(connection, job_id, now, {"what": "admitted"}, admitted=True)


def begin(connection: Connection, job_id: str, now: float) -> None:
    """queued -> running; nothing happens where it already runs. Its deadline counts from this moment."""
    ledger.lock_job(connection, job_id)
    if connection.scalar(select(jobs.c.status).where(jobs.c.id == job_id)) == JobStatus.QUEUED.value:
        told, began = {"what": "running"}, moment(connection, now)
        ledger.change_status(connection, job_id, now, told, status=JobStatus.RUNNING.value, started_at=began)


def is_past(connection: Connection, job_id: str, limit_s: float, now: float) -> bool:
    """Whether the job has run for longer than `limit_s` seconds, by the clock by which it began."""
    started_at = connection.scalar(select(jobs.c.started_at).where(jobs.c.id == job_id))
    return started_at is not None and moment(connection, now) > started_at + limit_s


def get(connection: Connection, job_id: str) -> Job:
    """Raises NotFoundError."""
    row = connection.execute(select(*_COLUMNS).where(jobs.c.id == job_id)).mappings().first()
    if row is None:
        raise NotFoundError(f"no job {job_id!r}", todo="`beacon jobs` lists the jobs of this database")
    return _job(row)


def resolve_id(connection: Connection, prefix: str) -> str:
    """The one job whose id begins with `prefix`; raises NotFoundError where none or several do."""
    if not prefix:
        raise NotFoundError("no job is named")
    escaped = prefix.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    found = connection.scalars(select(jobs.c.id).where(jobs.c.id.like(f"{escaped}%", escape="\\")).limit(2)).all()
    if prefix in found:
        return prefix
    if len(found) == 1:
        return str(found[0])
    what = f"several jobs begin with {prefix!r}" if found else f"no job {prefix!r}"
    raise NotFoundError(what, todo="`beacon jobs` lists the jobs of this database")


def spec_of(connection: Connection, job_id: str) -> JobSpec:
    """Raises NotFoundError."""
    text = connection.scalar(select(jobs.c.spec_json).where(jobs.c.id == job_id))
    if text is None:
        raise NotFoundError(f"no job {job_id!r}")
    return JobSpec.model_validate(json.loads(text))


def fleet_of(connection: Connection, job_id: str) -> Fleet:
    """The fleet that the job was submitted for. Raises NotFoundError."""
    text = connection.scalar(select(jobs.c.fleet_json).where(jobs.c.id == job_id))
    if text is None:
        raise NotFoundError(f"no job {job_id!r}")
    return Fleet.model_validate(json.loads(text))


def list_page(
    connection: Connection,
    *,
    limit: int,
    before: tuple[float, str] | None = None,
    statuses: Sequence[str] = (),
    name_contains: str | None = None,
    model: str | None = None,
    region: str | None = None,
    since: float | None = None,
) -> list[Job]:
    """Newest first. `before` is the (created_at, id) of the last job of the page before; `since` is the earliest
    moment of submission."""
    query = select(*_COLUMNS).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
    if before is not None:
        created_at, job_id = before
        same_moment = and_(jobs.c.created_at == created_at, jobs.c.id < job_id)
        query = query.where(or_(jobs.c.created_at < created_at, same_moment))
    if statuses:
        query = query.where(jobs.c.status.in_(statuses))
    if name_contains:
        query = query.where(jobs.c.name.icontains(name_contains, autoescape=True))
    if region:
        query = query.where(exists().where(shards.c.job_id == jobs.c.id, shards.c.region == region))
    if model:
        query = query.where(exists().where(executions.c.job_id == jobs.c.id, executions.c.model == model))
    if since is not None:
        query = query.where(jobs.c.created_at >= since)
    return [_job(row) for row in connection.execute(query).mappings()]


def where(connection: Connection, condition: ColumnElement[bool]) -> list[Job]:
    """All jobs that fit, oldest first."""
    query = select(*_COLUMNS).where(condition).order_by(jobs.c.created_at)
    return [_job(row) for row in connection.execute(query).mappings()]


def unfinished(connection: Connection) -> list[Job]:
    """Jobs that a runner should take up, oldest first."""
    open_statuses = [s.value for s in JobStatus if s not in JOB_OVER]
    query = select(*_COLUMNS).where(jobs.c.status.in_(open_statuses)).order_by(jobs.c.created_at)
    return [_job(row) for row in connection.execute(query).mappings()]


def tell_unfinished(connection: Connection, told: dict[str, Any], now: float) -> None:
    """Every open job says in its own events what an operator did."""
    for job in unfinished(connection):
        row = ledger.change_job(connection, job.id)
        ledger.append_event(connection, row, now, "operator", told)
