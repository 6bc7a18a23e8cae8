"""Worker processes, as they announce themselves; a row is renewed with the leases of its owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, insert, not_, select, update

from beacon.domain.states import JobStatus
from beacon.store.leases import driven, moment
from beacon.store.tables import jobs, shards, workers


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """`concurrency` counts shards at once in each region. Moments are seconds since the epoch."""

    owner: str
    regions: frozenset[str]
    concurrency: int
    started_at: float
    seen_at: float
    alive: bool

    @property
    def host(self) -> str:
        return self.owner.split("|")[0]


def announce(
    connection: Connection, owner: str, regions: Collection[str], concurrency: int, now: float, until: float
) -> None:
    """Says that the worker lives, and until when that is to be believed; those that are long gone are forgotten."""
    at = moment(connection, now)
    served = " ".join(sorted(regions))
    lasts = {"seen_at": at, "alive_until": at + until - now, "regions": served, "concurrency": concurrency}
    if connection.execute(update(workers).where(workers.c.owner == owner).values(lasts)).rowcount:
        return
    connection.execute(delete(workers).where(workers.c.alive_until < at - FORGOTTEN_S))
    connection.execute(insert(workers).values({"owner": owner, "started_at": at, **lasts}))


FORGOTTEN_S = 86_400.0
"""For how long a worker that is gone is still listed."""


def leave(connection: Connection, owner: str) -> None:
    connection.execute(delete(workers).where(workers.c.owner == owner))


def listed(connection: Connection, now: float, dead: Collection[str] = ()) -> Sequence[WorkerRow]:
    """All that are known, the living first; `dead` are known to have ended."""
    at = moment(connection, now)
    rows = connection.execute(select(workers).order_by(workers.c.started_at)).all()
    found = [
        WorkerRow(
            row.owner,
            frozenset(row.regions.split()),
            row.concurrency,
            row.started_at,
            row.seen_at,
            row.alive_until >= at and row.owner not in dead,
        )
        for row in rows
    ]
    return sorted(found, key=lambda worker: not worker.alive)


def served_regions(connection: Connection, now: float, dead: Collection[str] = ()) -> frozenset[str]:
    """The regions that living workers serve."""
    return frozenset().union(*(worker.regions for worker in listed(connection, now, dead) if worker.alive))


@dataclass(frozen=True, slots=True)
class Unserved:
    """Open executions of a job in a region that no living worker serves, and that nobody else drives."""

    job_id: str
    region: str
    executions: int

    @property
    def why(self) -> str:
        return f"no living worker serves {self.region}"

    @property
    def todo(self) -> str:
        return f"start `beacon worker --region {self.region}` with a fleet that has the region"


def unserved(
    connection: Connection, now: float, dead: Collection[str] = (), job_id: str | None = None
) -> list[Unserved]:
    """What waits for a worker of its region, of one job or of all. Nothing where no worker lives at all: there the
    jobs are not left to workers."""
    served = served_regions(connection, now, dead)
    if not served:
        return []
    at = moment(connection, now)
    open_here = and_(jobs.c.status == JobStatus.RUNNING.value, shards.c.done < shards.c.size)
    query = (
        select(shards.c.job_id, shards.c.region, func.sum(shards.c.size - shards.c.done))
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(open_here, shards.c.region.not_in(sorted(served)), not_(driven(at, dead)))
        .group_by(shards.c.job_id, shards.c.region)
        .order_by(shards.c.job_id, shards.c.region)
    )
    if job_id is not None:
        query = query.where(shards.c.job_id == job_id)
    return [Unserved(row[0], row[1], int(row[2])) for row in connection.execute(query)]
