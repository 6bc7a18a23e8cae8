"""Worker processes, as they announce themselves; a row is renewed with the leases of its owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from beacon.store.leases import moment
from beacon.store.tables import workers


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
    lasts = {"seen_at": at, "alive_until": at + until - now}
    if connection.execute(update(workers).where(workers.c.owner == owner).values(lasts)).rowcount:
        return
    connection.execute(delete(workers).where(workers.c.alive_until < at - FORGOTTEN_S))
    fixed = {"owner": owner, "regions": " ".join(sorted(regions)), "concurrency": concurrency, "started_at": at}
    connection.execute(insert(workers).values({**fixed, **lasts}))


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
