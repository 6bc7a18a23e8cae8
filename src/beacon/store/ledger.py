"""The job's ledger: its counts, its `seq`, its barrier, and one event for every change.

Whatever changes a job or its executions raises `seq` and appends the event of that number in the same
transaction, so that what is shown at a number equals the database at that number.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Double,
    Integer,
    RowMapping,
    Update,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.errors import NotFoundError
from beacon.store.tables import events, jobs

COUNTED = tuple(status for status in ExecutionStatus if status is not ExecutionStatus.PENDING)
"""Each has a column of its name in `jobs`; `pending` is what is left of the total."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """What a change left in the job row."""

    job_id: str
    seq: int
    status: JobStatus
    counts: dict[str, int]
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Advance:
    """By how much a group moves its job: executions by status, and `n_done` that became terminal."""

    change: Counter[str]
    n_done: int
    last_finished_at: float | None = None
    cost_usd: float = 0.0
    cost_unknown: int = 0
    simulated: bool = False
    replayed: bool = False
    more: dict[str, Any] = field(default_factory=dict)


def _advancing() -> Update:
    """The update of the job row that every group ends with, built once. The barrier is its CASE (DESIGN section 4)."""
    n_done = bindparam("n_done", type_=Integer)
    moment = bindparam("moment", type_=Double)
    # Cast, since PostgreSQL cannot tell the type of a parameter that is only compared with NULL.
    last = cast(bindparam("last_finished", type_=Double), Double)
    closes = and_(jobs.c.status == JobStatus.RUNNING.value, n_done > 0, jobs.c.done + n_done == jobs.c.total)
    later = and_(last.is_not(None), func.coalesce(jobs.c.last_finished_at, 0.0) < last)
    values: dict[str, Any] = {
        "done": jobs.c.done + n_done,
        "status": case((closes, JobStatus.FINALIZING.value), else_=jobs.c.status),
        "finalizing_at": case((closes, moment), else_=jobs.c.finalizing_at),
        "last_finished_at": case((later, last), else_=jobs.c.last_finished_at),
        "cost_usd": jobs.c.cost_usd + bindparam("cost", type_=Double),
        "cost_unknown": jobs.c.cost_unknown + bindparam("unknown", type_=Integer),
        "simulated": or_(jobs.c.simulated, bindparam("is_simulated", type_=Boolean)),
        "replayed": or_(jobs.c.replayed, bindparam("is_replayed", type_=Boolean)),
    }
    for status in COUNTED:
        values[status.value] = jobs.c[status.value] + bindparam(f"more_{status.value}", type_=Integer)
    return update(jobs).where(jobs.c.id == bindparam("of_job")).values(seq=jobs.c.seq + 1, **values)


_RETURNED = (
    jobs.c.seq,
    jobs.c.status,
    jobs.c.total,
    jobs.c.cost_usd,
    *(jobs.c[status.value] for status in COUNTED),
)
_ADVANCING = _advancing()
_ADVANCE = _ADVANCING.returning(*_RETURNED)


def advance(connection: Connection, job_id: str, by: Advance, now: float) -> JobRow:
    """Moves the job by what a group did to its executions; returns the row as the group leaves it."""
    statement = _ADVANCING.values(**by.more).returning(*_RETURNED) if by.more else _ADVANCE
    values = {
        "of_job": job_id,
        "n_done": by.n_done,
        "moment": now,
        "last_finished": by.last_finished_at,
        "cost": by.cost_usd,
        "unknown": by.cost_unknown,
        "is_simulated": by.simulated,
        "is_replayed": by.replayed,
        **{f"more_{status.value}": by.change[status] for status in COUNTED},
    }
    return _row(connection.execute(statement, values).mappings().first(), job_id)


def lock_job(connection: Connection, job_id: str) -> None:
    """Keeps every other writer of this job waiting until the transaction ends.

    Whoever reads before it writes begins so. On SQLite, where writers follow one another anyway, it does nothing.
    """
    connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())


def change_job(connection: Connection, job_id: str, **values: Any) -> JobRow:
    """Updates the job row and raises its `seq`; the caller appends the event of that number."""
    statement = update(jobs).where(jobs.c.id == job_id).values(seq=jobs.c.seq + 1, **values).returning(*_RETURNED)
    return _row(connection.execute(statement).mappings().first(), job_id)


def _row(row: RowMapping | None, job_id: str) -> JobRow:
    if row is None:
        raise NotFoundError(f"no job {job_id!r}")
    counts = {status.value: int(row[status.value]) for status in COUNTED}
    counts["total"] = int(row["total"])
    counts["pending"] = counts["total"] - sum(counts[status.value] for status in COUNTED)
    return JobRow(job_id, int(row["seq"]), JobStatus(row["status"]), counts, float(row["cost_usd"]))


def append_event(connection: Connection, row: JobRow, now: float, kind: str, data: dict[str, Any]) -> None:
    """The event of `row.seq`: `data` with the job's status and counts as they are at that number."""
    document = json.dumps({**data, "status": row.status.value, "counts": row.counts}, separators=(",", ":"))
    values = {"job_id": row.job_id, "seq": row.seq, "at": now, "kind": kind, "data_json": document}
    connection.execute(insert(events).values(values))


def change_status(connection: Connection, job_id: str, now: float, told: dict[str, Any], **values: Any) -> JobRow:
    """Changes the job row outside of a group, together with the event that tells of it."""
    row = change_job(connection, job_id, **values)
    append_event(connection, row, now, "status", told)
    return row
