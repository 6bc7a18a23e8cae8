"""Who drives what: leases on shards and on finalizing.

Taking a shard raises its epoch; only the holder of the current epoch may write attempts ahead. A lease that
has run out, or whose owner is known to be dead, may be taken by anyone.

On PostgreSQL the server's clock decides what has run out: hosts need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, extract, func, or_, select, update

from beacon.domain.states import JobStatus
from beacon.store.tables import jobs, shards


@dataclass(frozen=True, slots=True)
class Shard:
    job_id: str
    number: int
    region: str
    epoch: int
    size: int


def owners(connection: Connection) -> set[str]:
    """Everyone who holds a lease on a shard or on finalizing."""
    held = connection.scalars(select(shards.c.owner).where(shards.c.owner.is_not(None)).distinct())
    finalizing = connection.scalars(select(jobs.c.finalizer).where(jobs.c.finalizer.is_not(None)).distinct())
    return {owner for owner in (*held, *finalizing) if owner is not None}


def owners_of(connection: Connection, job_id: str) -> set[str]:
    """Everyone who holds a lease on a shard or on finalizing of the job."""
    held = connection.scalars(select(shards.c.owner).where(shards.c.job_id == job_id).distinct())
    finalizer = connection.scalar(select(jobs.c.finalizer).where(jobs.c.id == job_id))
    return {owner for owner in (*held, finalizer) if owner is not None}


def drivers(connection: Connection, job_id: str, now: float) -> list[str]:
    """Everyone who drives a shard of the job under a lease that holds, in the order of their names."""
    held = and_(shards.c.job_id == job_id, shards.c.lease_until >= moment(connection, now))
    return sorted(owner for owner in connection.scalars(select(shards.c.owner).where(held).distinct()) if owner)


def moment(connection: Connection, now: float) -> float:
    """What time it is to leases: `now` on this host's own database, else what the server says."""
    if connection.dialect.name != "postgresql":
        return now
    server: float = connection.scalar(select(extract("epoch", func.clock_timestamp()))) or now
    return float(server)


def _free(
    owner: ColumnElement[str | None], until: ColumnElement[float | None], now: float, dead: Collection[str]
) -> ColumnElement[bool]:
    return or_(owner.is_(None), until < now, owner.in_(dead))


def driven(at: float, dead: Collection[str]) -> ColumnElement[bool]:
    """Whether somebody who lives drives a shard of the same job and region."""
    other = shards.alias()
    free = _free(other.c.owner, other.c.lease_until, at, dead)
    return exists().where(other.c.job_id == shards.c.job_id, other.c.region == shards.c.region, ~free)


def take_shard(
    connection: Connection,
    job_id: str,
    region: str,
    owner: str,
    now: float,
    until: float,
    dead: Collection[str] = (),
) -> Shard | None:
    """Takes the first unfinished shard of the region that nobody living drives, until `until` if it is `now`."""
    at = moment(connection, now)
    candidate = (
        select(shards.c.number)
        .where(
            shards.c.job_id == job_id,
            shards.c.region == region,
            shards.c.done < shards.c.size,
            _free(shards.c.owner, shards.c.lease_until, at, dead),
        )
        .order_by(shards.c.number)
        .limit(1)
        # Others take the next one meanwhile.
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(shards)
        .where(and_(shards.c.job_id == job_id, shards.c.number == candidate))
        .values(epoch=shards.c.epoch + 1, owner=owner, lease_until=at + until - now)
        .returning(shards.c.number, shards.c.epoch, shards.c.size)
    )
    row = connection.execute(statement).first()
    return None if row is None else Shard(job_id, row.number, region, row.epoch, row.size)


def regions_of_free_shards(connection: Connection, job_id: str, now: float) -> set[str]:
    """Regions that have an unfinished shard whose lease nobody holds."""
    free = and_(shards.c.done < shards.c.size, _free(shards.c.owner, shards.c.lease_until, moment(connection, now), ()))
    return set(connection.scalars(select(shards.c.region).where(shards.c.job_id == job_id, free).distinct()))


def take_this_shard(
    connection: Connection,
    job_id: str,
    number: int,
    owner: str,
    now: float,
    until: float,
    dead: Collection[str] = (),
) -> Shard | None:
    """Takes the shard of that number; None where it is done, driven by another living runner, or not to run."""
    at = moment(connection, now)
    running = exists().where(jobs.c.id == job_id, jobs.c.status == JobStatus.RUNNING.value)
    mine = and_(
        shards.c.job_id == job_id,
        shards.c.number == number,
        shards.c.done < shards.c.size,
        _free(shards.c.owner, shards.c.lease_until, at, dead),
        running,
    )
    statement = (
        update(shards)
        .where(mine)
        .values(epoch=shards.c.epoch + 1, owner=owner, lease_until=at + until - now)
        .returning(shards.c.region, shards.c.epoch, shards.c.size)
    )
    row = connection.execute(statement).first()
    return None if row is None else Shard(job_id, number, row.region, row.epoch, row.size)


def holds(connection: Connection, shard: Shard) -> bool:
    """Whether nobody has taken the shard since its lease `shard` was given."""
    this = and_(shards.c.job_id == shard.job_id, shards.c.number == shard.number)
    return connection.scalar(select(shards.c.epoch).where(this)) == shard.epoch


def renew(
    connection: Connection,
    owner: str,
    now: float,
    until: float,
    driven: Mapping[str, Collection[int]],
    finalized: Collection[str],
) -> None:
    """Renews the leases that `owner` holds on these shards, by job, and on finalizing these jobs.

    No others: one that it was given without hearing of it, because its connection broke, is to run out.
    """
    until = moment(connection, now) + until - now
    mine = and_(jobs.c.finalizer == owner, jobs.c.id.in_(finalized))
    connection.execute(update(jobs).where(mine).values(finalizer_until=until))
    for job_id, numbers in driven.items():
        ours = and_(shards.c.job_id == job_id, shards.c.number.in_(numbers), shards.c.owner == owner)
        connection.execute(update(shards).where(ours).values(lease_until=until))


def release_shard(connection: Connection, shard: Shard, owner: str) -> None:
    """Gives the lease `shard` back; one that the same owner took anew, after it had run out, stays."""
    this = and_(shards.c.job_id == shard.job_id, shards.c.number == shard.number)
    mine = and_(this, shards.c.owner == owner, shards.c.epoch == shard.epoch)
    connection.execute(update(shards).where(mine).values(owner=None, lease_until=None))


def release_job(connection: Connection, job_id: str, owner: str) -> None:
    """Gives back every shard of the job, and its finalizing, that `owner` holds."""
    finalizing = and_(jobs.c.id == job_id, jobs.c.finalizer == owner)
    connection.execute(update(jobs).where(finalizing).values(finalizer=None, finalizer_until=None))
    mine = and_(shards.c.job_id == job_id, shards.c.owner == owner)
    connection.execute(update(shards).where(mine).values(owner=None, lease_until=None))


def release_all(connection: Connection, owner: str) -> None:
    connection.execute(update(jobs).where(jobs.c.finalizer == owner).values(finalizer=None, finalizer_until=None))
    connection.execute(update(shards).where(shards.c.owner == owner).values(owner=None, lease_until=None))


def take_finalizing(
    connection: Connection, job_id: str, owner: str, now: float, until: float, dead: Collection[str] = ()
) -> bool:
    """Whether `owner` is now the one who finalizes the job."""
    at = moment(connection, now)
    free = and_(
        jobs.c.id == job_id,
        jobs.c.status == JobStatus.FINALIZING.value,
        _free(jobs.c.finalizer, jobs.c.finalizer_until, at, dead),
    )
    statement = update(jobs).where(free).values(finalizer=owner, finalizer_until=at + until - now)
    return connection.execute(statement).rowcount == 1
