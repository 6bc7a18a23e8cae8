"""Schedules: a spec on a cron expression, and one row for each tick that was run or missed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from beacon.domain.fleet import Fleet
from beacon.domain.spec import JobSpec
from beacon.errors import NotFoundError
from beacon.store import jobs as job_queries
from beacon.store.tables import jobs, schedules, ticks


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cron` is in UTC; `last_tick` is the newest that was run or missed."""

    id: str
    name: str
    cron: str
    spec: JobSpec
    fleet: Fleet
    created_at: float
    last_tick: float | None


@dataclass(frozen=True, slots=True)
class Tick:
    """`job_id` is None for a tick that was missed; `status` is its job's."""

    tick_at: float
    fired_at: float
    job_id: str | None
    status: str | None


def add(connection: Connection, schedule_id: str, name: str, cron: str, documents: tuple[str, str], now: float) -> None:
    """`documents` are the spec and the fleet as JSON."""
    spec_json, fleet_json = documents
    row = {"id": schedule_id, "name": name, "cron": cron, "spec_json": spec_json, "fleet_json": fleet_json}
    connection.execute(insert(schedules).values(**row, created_at=now))


def remove(connection: Connection, schedule_id: str, now: float) -> None:
    """Its history stays readable. Raises NotFoundError."""
    standing = schedules.c.id == schedule_id, schedules.c.removed_at.is_(None)
    if not connection.execute(update(schedules).where(*standing).values(removed_at=now)).rowcount:
        raise NotFoundError(f"no schedule {schedule_id!r}", todo="`beacon schedule list` lists them")


def active(connection: Connection) -> list[Schedule]:
    """Oldest first."""
    last = select(func.max(ticks.c.tick_at)).where(ticks.c.schedule_id == schedules.c.id).scalar_subquery()
    query = select(schedules, last.label("last_tick")).where(schedules.c.removed_at.is_(None))
    return [
        Schedule(
            row.id,
            row.name,
            row.cron,
            JobSpec.model_validate(json.loads(row.spec_json)),
            Fleet.model_validate(json.loads(row.fleet_json)),
            row.created_at,
            row.last_tick,
        )
        for row in connection.execute(query.order_by(schedules.c.created_at))
    ]


@dataclass(frozen=True, slots=True)
class Overview:
    """A schedule as a list says it; `runs` counts the ticks that started a job."""

    id: str
    name: str
    cron: str
    runs: int
    last_tick: float | None
    removed_at: float | None


def overview(connection: Connection) -> list[Overview]:
    """All that are kept, those that still run first; of a removed one the history stays readable."""
    query = (
        select(schedules.c.id, schedules.c.name, schedules.c.cron, func.count(ticks.c.job_id))
        .add_columns(func.max(ticks.c.tick_at), schedules.c.removed_at)
        .outerjoin(ticks, ticks.c.schedule_id == schedules.c.id)
        .group_by(schedules.c.id)
        .order_by(schedules.c.removed_at.is_not(None), schedules.c.created_at)
    )
    return [Overview(*row) for row in connection.execute(query)]


def history(connection: Connection, schedule_id: str, limit: int = 50) -> list[Tick]:
    """Newest first. Raises NotFoundError."""
    if connection.scalar(select(schedules.c.id).where(schedules.c.id == schedule_id)) is None:
        raise NotFoundError(f"no schedule {schedule_id!r}", todo="`beacon schedule list` lists them")
    query = (
        select(ticks.c.tick_at, ticks.c.fired_at, ticks.c.job_id, jobs.c.status)
        .outerjoin(jobs, jobs.c.id == ticks.c.job_id)
        .where(ticks.c.schedule_id == schedule_id)
        .order_by(ticks.c.tick_at.desc())
        .limit(limit)
    )
    return [Tick(*row) for row in connection.execute(query)]


def fire(
    connection: Connection,
    schedule: Schedule,
    tick_at: float,
    job_id: str | None,
    documents: tuple[str, str, str],
    now: float,
) -> bool:
    """Notes the tick and makes its job, in one transaction; False where another process was first.

    Without `job_id` the tick is noted as missed.
    """
    # Those who come at the same moment wait here, and see the row of the first.
    connection.execute(select(schedules.c.id).where(schedules.c.id == schedule.id).with_for_update())
    mine = ticks.c.schedule_id == schedule.id, ticks.c.tick_at == tick_at
    if connection.scalar(select(ticks.c.tick_at).where(*mine)) is not None:
        return False
    if job_id is not None:
        job_queries.create(connection, job_id, schedule.spec, documents, now, f"schedule:{schedule.id}:{tick_at:.0f}")
    row = {"schedule_id": schedule.id, "tick_at": tick_at, "fired_at": now, "job_id": job_id}
    connection.execute(insert(ticks).values(row))
    return True
