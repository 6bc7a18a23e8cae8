"""Schedules are fired by whoever drives jobs: each tick once, across all processes."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from cronsim import CronSim, CronSimError

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet
from beacon.errors import InputError
from beacon.runner.admission import documents_of, new_job_id
from beacon.runner.same_fleet import check_same_kind
from beacon.store import leases, schedules
from beacon.store.database import Database
from beacon.store.schedules import Schedule

log = structlog.get_logger()

LATE_S = 3600.0
"""A tick that nobody was there to run within this time is noted as missed; of several, only the newest is run."""


def check_cron(expression: str, where: str = "--cron") -> None:
    """Raises InputError for what is not a cron expression of five fields."""
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        todo = "write five fields, for example '0 6 * * 1' for Mondays at 06:00 UTC"
        raise InputError(f"{expression!r} is not a cron expression: {error}", where=where, todo=todo) from error


def newest_tick(expression: str, now: float) -> float:
    """The last moment of the expression that is not after `now`, in seconds since the epoch."""
    # Backwards it begins before the minute that it is given.
    after = datetime.fromtimestamp(now + 60, UTC).replace(second=0, microsecond=0)
    return float(next(CronSim(expression, after, reverse=True)).timestamp())


def next_tick(expression: str, now: float) -> float:
    return float(next(CronSim(expression, datetime.fromtimestamp(now, UTC))).timestamp())


async def fire_due(database: Database, fleet: Fleet, clock: Clock) -> list[str]:
    """Makes the job of every schedule whose newest tick nobody has run; returns the jobs that this process made.

    Raises DatabaseError; what was not made is made at the next look.
    """
    made = []
    # By the database's clock: whichever process looks first, a tick comes at one moment.
    now = await database.read(leases.moment, clock.wall())
    for schedule in await database.read(schedules.active):
        tick = newest_tick(schedule.cron, now)
        if tick <= max(schedule.created_at, schedule.last_tick or 0.0):
            continue
        try:
            check_same_kind(schedule.spec, schedule.fleet, fleet, f"schedule {schedule.id}")
        except InputError:
            # Another process has the fleet that it was made for, or nobody: its history shows that then.
            continue
        job_id = await _fire(database, schedule, tick, fleet, now)
        made += [job_id] if job_id else []
    return made


async def _fire(database: Database, schedule: Schedule, tick: float, fleet: Fleet, now: float) -> str | None:
    job_id = new_job_id() if now - tick <= LATE_S else None
    spec = schedule.spec_at(tick)
    if not await database.write(schedules.fire, schedule.id, tick, job_id, (spec, documents_of(spec, fleet)), now):
        return None
    log.info("schedule ran" if job_id else "schedule missed its time", schedule=schedule.id, job=job_id)
    return job_id
