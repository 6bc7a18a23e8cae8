"""A job's executions as a matrix wants them: all of them once, then only those that moved.

Both functions read the job row and the executions in one snapshot, so what they return is the database at the
job's `seq`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from beacon.store import events, jobs
from beacon.store.jobs import Job
from beacon.store.tables import executions

EVENTS_AT_ONCE = 500
MOST_EVENTS = 5_000
"""Further behind than this, reading all executions again is cheaper than following the events."""
ORDINALS_AT_ONCE = 900
DEEDS = frozenset({"stop", "retry", "finalize", "paused", "resumed", "limited", "unlimited"})
"""What people do to a job, as its events name it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One execution as it stands; `kind`, `stage`, `error` are those of a failure, durations milliseconds, moments
    seconds since the epoch."""

    ordinal: int
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: str
    kind: str | None
    stage: str | None
    error: str | None
    provider: str | None
    duration_ms: float | None
    persisted_at: float | None


_COLUMNS = tuple(executions.c[name] for name in Mark.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The job at its `seq`, marks and what people did: all of it where `complete`, else what came since."""

    job: Job
    complete: bool
    marks: list[Mark]
    deeds: list[events.Event]


def whole(connection: Connection, job_id: str) -> Standing:
    """All stored executions of the job, in order. Raises NotFoundError."""
    job = jobs.get(connection, job_id)
    query = select(*_COLUMNS).where(executions.c.job_id == job_id).order_by(executions.c.ordinal)
    told = events.outside_groups(connection, job_id)
    deeds = [event for event in told if event.data.get("what") in DEEDS]
    return Standing(job, True, [Mark(*row) for row in connection.execute(query)], deeds)


def since(connection: Connection, job_id: str, seq: int) -> Standing:
    """What moved after `seq`; everything where that is cheaper, or where executions were added.

    Raises NotFoundError.
    """
    job = jobs.get(connection, job_id)
    if job.seq - seq > MOST_EVENTS:
        return whole(connection, job_id)
    moved: set[int] = set()
    deeds: list[events.Event] = []
    for event in _events(connection, job_id, seq):
        if event.data.get("what") == "admitted":
            return whole(connection, job_id)
        if event.data.get("what") in DEEDS:
            deeds.append(event)
        moved.update(ordinal for ordinal, _status in event.data.get("moves", ()))
    return Standing(job, False, list(_marks(connection, job_id, sorted(moved))), deeds)


def _events(connection: Connection, job_id: str, seq: int) -> Iterator[events.Event]:
    while found := events.after(connection, job_id, seq, EVENTS_AT_ONCE):
        yield from found
        seq = found[-1].seq


def _marks(connection: Connection, job_id: str, ordinals: Sequence[int]) -> Iterator[Mark]:
    for start in range(0, len(ordinals), ORDINALS_AT_ONCE):
        some = ordinals[start : start + ORDINALS_AT_ONCE]
        query = select(*_COLUMNS).where(executions.c.job_id == job_id, executions.c.ordinal.in_(some))
        yield from (Mark(*row) for row in connection.execute(query))
