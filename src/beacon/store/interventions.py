"""What people do to a job under way or over: stop it, or retry what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, select, update

from beacon.domain.failure import FailureKind
from beacon.domain.states import JOB_OVER, UNSUCCESSFUL, ExecutionStatus, JobStatus
from beacon.errors import ConflictError
from beacon.store import jobs as job_queries
from beacon.store import ledger
from beacon.store.bulk import Update
from beacon.store.executions import Filter
from beacon.store.leases import moment
from beacon.store.ledger import Advance
from beacon.store.tables import executions, shards


def request_stop(connection: Connection, job_id: str, kind: str, now: float, why: str | None = None) -> bool:
    """Asks that what is still open ends as `kind`. From this commit on no attempt of the job is sent.

    Returns False where the job is past stopping, or was asked before.
    """
    ledger.lock_job(connection, job_id)
    job = job_queries.get(connection, job_id)
    cancels = kind == FailureKind.CANCELLED and job.stop_kind == FailureKind.COST_CEILING
    if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING) or (job.stop_kind is not None and not cancels):
        return False
    told = {"what": "stop", "kind": kind} | ({"why": why} if why else {})
    ledger.change_status(connection, job_id, now, told, stop_kind=kind, stop_requested_at=now)
    return True


_REOPEN = Update(executions, "id", ("status", "finished_at", "persisted_at", "deadline_at", "duration_ms", "counted"))


@dataclass(frozen=True, slots=True)
class Reopened:
    """How many executions were set to `retrying`, and the generation that they belong to."""

    count: int
    generation: int


def reopen(connection: Connection, job_id: str, chosen: Filter, now: float, ids: Sequence[str] = ()) -> Reopened:
    """Unsuccessful executions -> retrying: all of them, those of a kind, or those with the given ids.

    A job that was over runs again as its next generation; one that runs is joined. Raises NotFoundError, and
    ConflictError while the job is finalizing.
    """
    ledger.lock_job(connection, job_id)
    job = job_queries.get(connection, job_id)
    if job.status is JobStatus.FINALIZING:
        todo = "wait until it is completed, then retry"
        raise ConflictError(f"job {job_id} is finalizing: its report is being made", todo=todo)
    if job.status is JobStatus.RUNNING and job.stop_kind is not None:
        raise ConflictError(f"job {job_id} is being stopped", todo="wait until it is over, then retry")
    ceiling = job_queries.spec_of(connection, job_id).limits.max_cost_usd
    if ceiling is not None and job.cost_usd >= ceiling:
        what = f"job {job_id} has cost ${job.cost_usd:.2f} and reached its ceiling of ${ceiling:g}"
        raise ConflictError(what, todo="ask what is missing in a new job with a higher limits.max_cost_usd")
    query = select(executions.c.id, executions.c.ordinal, executions.c.status, executions.c.shard).where(
        executions.c.job_id == job_id, executions.c.status.in_([status.value for status in UNSUCCESSFUL])
    )
    for condition in chosen.conditions():
        query = query.where(condition)
    if ids:
        query = query.where(executions.c.id.in_(ids))
    rows = connection.execute(query).all()
    if not rows:
        return Reopened(0, job.generation)
    change = Counter({ExecutionStatus.RETRYING: len(rows)})
    change.subtract(Counter(ExecutionStatus(row.status) for row in rows))
    _REOPEN.execute(connection, [(row.id, ExecutionStatus.RETRYING.value, None, None, None, None, 0) for row in rows])
    for shard, count in Counter(row.shard for row in rows).items():
        this_shard = and_(shards.c.job_id == job_id, shards.c.number == shard)
        connection.execute(update(shards).where(this_shard).values(done=shards.c.done - count))
    generation = job.generation + 1 if job.status in JOB_OVER else job.generation
    more: dict[str, Any] = {"stop_kind": None, "stop_requested_at": None}
    if job.status in JOB_OVER:
        more |= {"status": JobStatus.RUNNING.value, "generation": generation, "verdict": None}
        more |= {"finalizing_at": None, "completed_at": None, "last_finished_at": None}
        more["started_at"] = moment(connection, now)
    by = Advance(Counter({str(k): n for k, n in change.items()}), n_done=-len(rows), more=more)
    after = ledger.advance(connection, job_id, by, now)
    moves = [[row.ordinal, ExecutionStatus.RETRYING.value] for row in rows]
    told = {"what": "retry", "moves": moves, "generation": generation}
    ledger.append_event(connection, after, now, "operator", told)
    return Reopened(len(rows), generation)


def finalize_again(connection: Connection, job_id: str, now: float) -> None:
    """failed -> finalizing: a report that could not be made is made after all; no execution is touched.

    Raises NotFoundError, and ConflictError for a job that did not fail.
    """
    ledger.lock_job(connection, job_id)
    job = job_queries.get(connection, job_id)
    if job.status is not JobStatus.FAILED:
        todo = "only a job whose report could not be made is finalized again"
        raise ConflictError(f"job {job_id} is {job.status.value}", todo=todo)
    told = {"what": "finalize"}
    ledger.change_status(
        connection, job_id, now, told, status=JobStatus.FINALIZING.value, error=None, completed_at=None
    )
