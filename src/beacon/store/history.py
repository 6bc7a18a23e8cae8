"""What earlier jobs of this database tell of providers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, or_, select

from beacon.domain.kpis import percentile
from beacon.domain.states import TERMINAL, ExecutionStatus
from beacon.store.tables import executions, jobs, results

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


@dataclass(frozen=True, slots=True)
class Recent:
    """What a provider brought to an end lately; durations are of completed executions, in milliseconds."""

    ended: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None
    cost_usd: float
    cost_unknown: int


def recent(connection: Connection, since: float) -> dict[str, Recent]:
    """By provider, over executions that ended since then and were not cancelled."""
    e = executions.c
    lately = select(jobs.c.id).where(or_(jobs.c.completed_at.is_(None), jobs.c.completed_at >= since))
    ended = [s.value for s in TERMINAL if s is not ExecutionStatus.CANCELLED]
    query = (
        select(e.provider, e.status, e.duration_ms, results.c.cost_usd)
        .select_from(executions.outerjoin(results))
        .where(e.job_id.in_(lately), e.status.in_(ended), e.provider.is_not(None), e.persisted_at >= since)
    )
    found: dict[str, list[tuple[bool, float | None, float | None]]] = {}
    for provider, status, duration_ms, cost in connection.execute(query):
        found.setdefault(provider, []).append((status == ExecutionStatus.COMPLETED.value, duration_ms, cost))
    return {provider: _recent(rows) for provider, rows in found.items()}


def _recent(rows: list[tuple[bool, float | None, float | None]]) -> Recent:
    answered = [(duration_ms, cost) for completed, duration_ms, cost in rows if completed]
    durations = [ms for ms, _ in answered if ms is not None]
    costs = [cost for _, cost in answered if cost is not None]
    return Recent(
        ended=len(rows),
        failed=len(rows) - len(answered),
        p50_ms=percentile(durations, 0.5),
        p95_ms=percentile(durations, 0.95),
        cost_usd=sum(costs),
        cost_unknown=len(answered) - len(costs),
    )
