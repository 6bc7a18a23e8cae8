"""What the open executions of running jobs wait for, as far as the database knows: for a list of jobs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, select

from beacon.domain.states import ExecutionStatus
from beacon.store.leases import moment
from beacon.store.tables import attempts, executions, shards


@dataclass(frozen=True, slots=True)
class Owed:
    """Executions of one job that failed alike at one provider and are to be tried again; `next_at` is the first."""

    job_id: str
    kind: str | None
    provider: str | None
    count: int
    next_at: float | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Attempts of one job at one provider that were sent. `longest_s` is the most that one may take, `until` the latest
    moment to which one does."""

    job_id: str
    provider: str
    count: int
    longest_s: float | None
    until: float | None


@dataclass(frozen=True, slots=True)
class Region:
    """The shards of one job in one region that are not done; `driven` counts those under a lease that holds."""

    job_id: str
    region: str
    open: int
    driven: int
    left: int


@dataclass(frozen=True, slots=True)
class Waits:
    owed: list[Owed]
    under_way: list[UnderWay]
    regions: list[Region]


def of(connection: Connection, job_ids: Collection[str], now: float) -> Waits:
    """Of jobs that run; one query for each of the three."""
    return Waits(_owed(connection, job_ids), _under_way(connection, job_ids), _regions(connection, job_ids, now))


def _owed(connection: Connection, job_ids: Collection[str]) -> list[Owed]:
    e = executions.c
    query = (
        select(e.job_id, e.kind, e.provider, func.count(), func.min(e.next_attempt_at))
        .where(e.job_id.in_(job_ids), e.status == ExecutionStatus.RETRYING.value)
        .group_by(e.job_id, e.kind, e.provider)
        .order_by(func.count().desc())
    )
    return [Owed(*row) for row in connection.execute(query)]


def _under_way(connection: Connection, job_ids: Collection[str]) -> list[UnderWay]:
    e = executions.c
    newest = and_(attempts.c.execution_id == e.id, attempts.c.number == e.attempts)
    longest = func.max(e.deadline_at - attempts.c.written_at)
    query = (
        select(e.job_id, attempts.c.provider, func.count(), longest, func.max(e.deadline_at))
        .join(attempts, newest)
        .where(e.job_id.in_(job_ids), e.status == ExecutionStatus.RUNNING.value)
        .group_by(e.job_id, attempts.c.provider)
        .order_by(attempts.c.provider)
    )
    return [UnderWay(*row) for row in connection.execute(query)]


def _regions(connection: Connection, job_ids: Collection[str], now: float) -> list[Region]:
    s = shards.c
    held = case((and_(s.owner.is_not(None), s.lease_until >= moment(connection, now)), 1), else_=0)
    query = (
        select(s.job_id, s.region, func.count(), func.sum(held), func.sum(s.size - s.done))
        .where(s.job_id.in_(job_ids), s.done < s.size)
        .group_by(s.job_id, s.region)
        .order_by(func.min(s.number))
    )
    rows = connection.execute(query).all()
    return [Region(job_id, region, count, int(driven), int(left)) for job_id, region, count, driven, left in rows]
