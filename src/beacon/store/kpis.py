"""The history that the eight measures are computed from, and what browsers report to it."""

from __future__ import annotations

import json
from enum import StrEnum

from sqlalchemy import Connection, and_, insert, select

from beacon.domain.kpis import History, PastJob
from beacon.domain.states import JOB_OVER, ExecutionStatus
from beacon.store import jobs as job_queries
from beacon.store.jobs import Job
from beacon.store.tables import events, executions, jobs, measurements


class Measured(StrEnum):
    """What a browser reports: how long a page took to load in milliseconds, or 1 where it showed what the database
    holds at the same seq, else 0."""

    LOAD = "portal_load_ms"
    ACCURATE = "live_accuracy"


def record(connection: Connection, kind: Measured, value: float, now: float) -> None:
    connection.execute(insert(measurements).values(kind=kind.value, at=now, value=value))


def shown_right(connection: Connection, job_id: str, seq: int, counts: dict[str, int]) -> bool | None:
    """Whether these executions by status are what the job had at `seq`; None where it has no such event."""
    query = select(events.c.data_json).where(events.c.job_id == job_id, events.c.seq == seq)
    text = connection.scalar(query)
    if text is None:
        return None
    held: dict[str, int] = json.loads(text)["counts"]
    return all(held.get(status, 0) == count for status, count in counts.items())


def history(connection: Connection, since: float, *, simulated: bool = False) -> History:
    """Jobs that ended since then; simulated and replayed ones only where they are asked for."""
    over = and_(jobs.c.status.in_([s.value for s in JOB_OVER]), jobs.c.completed_at >= since)
    real = and_(jobs.c.simulated.is_(False), jobs.c.replayed.is_(False))
    wanted = over if simulated else and_(over, real)
    durations: dict[str, list[float]] = {}
    answered = and_(executions.c.status == ExecutionStatus.COMPLETED.value, executions.c.duration_ms.is_not(None))
    query = select(executions.c.job_id, executions.c.duration_ms).join(jobs).where(wanted, answered)
    for job_id, duration_ms in connection.execute(query):
        durations.setdefault(job_id, []).append(duration_ms)
    found = job_queries.where(connection, wanted)
    told = measurements.c
    rows = connection.execute(select(told.kind, told.at, told.value).where(told.at >= since)).all()
    return History(
        tuple(_past(job, durations.get(job.id, [])) for job in found),
        tuple((row.at, row.value) for row in rows if row.kind == Measured.LOAD),
        tuple((row.at, row.value == 1) for row in rows if row.kind == Measured.ACCURATE),
    )


def _past(job: Job, durations_ms: list[float]) -> PastJob:
    ended = job.completed_at or job.created_at
    # A job that was retried is measured from its last round on: between the rounds nobody asked for anything.
    began = job.created_at if job.generation == 1 else job.started_at
    gap, finalizing = job.barrier_gap_ms, job.finalizing_ms
    return PastJob(
        id=job.id,
        name=job.name,
        status=job.status,
        verdict=job.verdict,
        completed=job.counts[ExecutionStatus.COMPLETED.value],
        failed=job.counts[ExecutionStatus.FAILED.value],
        timed_out=job.counts[ExecutionStatus.TIMED_OUT.value],
        total=job.total,
        ended_at=ended,
        took_s=None if began is None else ended - began,
        gap_s=None if gap is None or finalizing is None else (gap + finalizing) / 1000,
        durations_ms=durations_ms,
    )
