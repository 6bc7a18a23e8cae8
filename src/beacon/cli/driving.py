"""Whether somebody drives a job, and what to do where nobody does."""

from __future__ import annotations

from beacon.domain.clock import SystemClock
from beacon.runner.owner import is_dead
from beacon.store import leases, workers
from beacon.store.database import Database
from beacon.store.workers import Unserved


async def somebody_drives(database: Database, job_id: str) -> bool:
    """Whether a living runner holds a lease on the job."""
    return any(not is_dead(owner) for owner in await database.read(leases.owners_of, job_id))


def how_to_go_on(job_id: str) -> str:
    return f"`beacon run --resume {job_id}` or `beacon serve` goes on with it"


async def waiting_for_workers(database: Database, job_id: str | None = None) -> list[Unserved]:
    """What no living worker serves, of one job or of all."""
    dead = [owner for owner in await database.read(leases.owners) if is_dead(owner)]
    return await database.read(workers.unserved, SystemClock().wall(), dead, job_id)
