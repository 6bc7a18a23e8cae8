"""What earlier jobs of this database tell of providers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from beacon.domain.states import ExecutionStatus
from beacon.store.tables import executions, jobs

RECENT_JOBS = 20
"""Older ones say little of how long a provider takes today."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long one provider took for the completed answers of one model: their number and mean, in seconds."""

    answers: int
    mean_s: float


def paces(connection: Connection, providers: Collection[str]) -> dict[tuple[str, str], Pace]:
    """By (provider, model), over the newest jobs; a pair without an answer is left out."""
    e = executions.c
    recent = select(jobs.c.id).order_by(jobs.c.created_at.desc()).limit(RECENT_JOBS)
    completed = and_(e.status == ExecutionStatus.COMPLETED.value, e.duration_ms.is_not(None))
    query = (
        select(e.provider, e.model, func.count(), func.avg(e.duration_ms))
        .where(e.job_id.in_(recent), completed, e.provider.in_(providers))
        .group_by(e.provider, e.model)
    )
    return {(provider, model): Pace(n, mean_ms / 1000) for provider, model, n, mean_ms in connection.execute(query)}
