"""Schedules: a spec on a cron expression, and one row for each tick that was run or missed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from beacon.domain.fleet import Fleet
from beacon.domain.spec import JobSpec
from beacon.errors import NotFoundError
from beacon.store import jobs as job_queries
from beacon.store.tables import jobs, schedules, ticks


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cron` is in UTC; `last_tick` is the newest that was run or missed.

    Each tick's job has a seed of its own, unless the spec `pins` one: with the same order of dispatch in every run,
    what a question's place does to its answers would look like something about the question.
    """

    id: str
    name: str
    cron: str
    spec: JobSpec
    pins: bool
    fleet: Fleet
    created_at: float
    last_tick: float | None

    def spec_at(self, tick_at: float) -> JobSpec:
        """The spec of the job of this tick; the same whoever asks, and kept with the job."""
        return self.spec if self.pins else self.spec.model_copy(update={"seed": seed_at(self.id, tick_at)})


def seed_at(schedule_id: str, tick_at: float) -> int:
    """The first 53 bits of SHA-256 over schedule and tick, which anyone can recompute."""
    return int.from_bytes(sha256(f"beacon.tick\0{schedule_id}\0{tick_at:.0f}".encode()).digest()[:8], "big") >> 11


@dataclass(frozen=True, slots=True)
class Tick:
    """`job_id` is None for a tick that was missed; `status` is its job's."""

    tick_at: float
    fired_at: float
    job_id: str | None
    status: str | None


def add(
    connection: Connection,
    schedule_id: str,
    name: str,
    cron: str,
    documents: tuple[str, str],
    now: float,
    *,
    pins: bool = True,
) -> None:
    """`documents` are the spec and the fleet as JSON; without `pins` the spec's seed is left out."""
    spec_json, fleet_json = documents
    if not pins:
        spec_json = json.dumps({k: v for k, v in json.loads(spec_json).items() if k != "seed"}, ensure_ascii=False)
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
    return [_schedule(row) for row in connection.execute(query.order_by(schedules.c.created_at)).mappings()]


def _schedule(row: RowMapping) -> Schedule:
    spec = json.loads(row["spec_json"])
    return Schedule(
        id=row["id"],
        name=row["name"],
        cron=row["cron"],
        spec=JobSpec.model_validate({"seed": 0} | spec),
        pins="seed" in spec,
        fleet=Fleet.model_validate(json.loads(row["fleet_json"])),
        created_at=row["created_at"],
        last_tick=row["last_tick"],
    )


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
    schedule_id: str,
    tick_at: float,
    job_id: str | None,
    job: tuple[JobSpec, tuple[str, str, str]],
    now: float,
) -> bool:
    """Notes the tick and makes its job, in one transaction; False where another process was first.

    `job` is the spec and its documents, as `jobs.create` takes them. Without `job_id` the tick is noted as missed.
    """
    # Those who come at the same moment wait here, and see the row of the first.
    connection.execute(select(schedules.c.id).where(schedules.c.id == schedule_id).with_for_update())
    mine = ticks.c.schedule_id == schedule_id, ticks.c.tick_at == tick_at
    if connection.scalar(select(ticks.c.tick_at).where(*mine)) is not None:
        return False
    if job_id is not None:
        job_queries.create(connection, job_id, *job, now, f"schedule:{schedule_id}:{tick_at:.0f}")
    row = {"schedule_id": schedule_id, "tick_at": tick_at, "fired_at": now, "job_id": job_id}
    connection.execute(insert(ticks).values(row))
    return True
