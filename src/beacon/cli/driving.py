"""Whether somebody drives a job, and what to do where nobody does."""

from __future__ import annotations

from beacon.runner.owner import is_dead
from beacon.store import leases
from beacon.store.database import Database


async def somebody_drives(database: Database, job_id: str) -> bool:
    """Whether a living runner holds a lease on the job."""
    return any(not is_dead(owner) for owner in await database.read(leases.owners_of, job_id))


def how_to_go_on(job_id: str) -> str:
    return f"`beacon run --resume {job_id}` or `beacon serve` goes on with it"
