"""`beacon cancel`: asks that a job stops; what had finished is kept and sealed."""

from __future__ import annotations

import asyncio
import sys

from beacon.cli.embedded import Interruption, embedded
from beacon.cli.settings import DatabaseOption, FleetOption, database_url
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.errors import ConflictError, ExitCode
from beacon.runner.owner import is_dead
from beacon.store import interventions, jobs, leases
from beacon.store.database import Database, open_database


def cancel(job: str, *, fleet: FleetOption = None, database: DatabaseOption = None) -> int:
    """Cancel a job: nothing more is sent, what had finished is kept, the job closes as `cancelled`.

    Example: `beacon cancel k3v9`

    Parameters
    ----------
    job
        The job's id, or as much of its beginning as is unique.
    """
    return asyncio.run(_cancel(job, fleet, database))


async def _cancel(prefix: str, fleet: str | None, database: str | None) -> ExitCode:
    opened = await open_database(database_url(database))
    try:
        job_id = await opened.read(jobs.resolve_id, prefix)
        asked = await opened.write(
            interventions.request_stop, job_id, FailureKind.CANCELLED.value, SystemClock().wall()
        )
        job = await opened.read(jobs.get, job_id)
        if not asked and job.stop_kind is None:
            raise ConflictError(f"job {job_id} is {job.status.value} and cannot be cancelled")
        print(f"job {job_id}: cancelling", file=sys.stderr)
        driven = await somebody_drives(opened, job_id)
    finally:
        await opened.close()
    if not driven:
        await close_it_here(job_id, fleet, database)
    print(f"job {job_id}: cancelled" if not driven else f"job {job_id}: its runner closes it", file=sys.stderr)
    return ExitCode.DONE


async def somebody_drives(database: Database, job_id: str) -> bool:
    """Whether a living runner holds a lease on the job."""
    return any(not is_dead(owner) for owner in await database.read(leases.owners_of, job_id))


async def close_it_here(job_id: str, fleet: str | None, database: str | None) -> None:
    """Brings a job that nobody drives to its end."""
    async with embedded(database, fleet) as house:
        Interruption(house.runner)
        await house.runner.drive(job_id)
