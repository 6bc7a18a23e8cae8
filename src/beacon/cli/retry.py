"""`beacon retry`: executions that failed are tried again, and the job's report is made again."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.cancel import somebody_drives
from beacon.cli.embedded import Interruption, embedded
from beacon.cli.findings import print_findings
from beacon.cli.progress import show_progress
from beacon.cli.run import exit_code_of
from beacon.cli.settings import DatabaseOption, FleetOption
from beacon.cli.show import newest_report
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.domain.names import suggest
from beacon.errors import ExitCode, InputError
from beacon.store import interventions, jobs
from beacon.store.executions import Filter

KINDS = [kind.value for kind in FailureKind]


def retry(
    job: str,
    *executions: str,
    kind: Annotated[tuple[str, ...], Parameter(help="Only failures of this kind; may be given several times.")] = (),
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Retry what failed in a job: everything, one kind, or the executions named.

    Example: `beacon retry k3v9 --kind rate_limited`

    Parameters
    ----------
    job
        The job's id, or as much of its beginning as is unique.
    executions
        Ids of executions; default all that failed, timed out or were cancelled.
    """
    for name in kind:
        if name not in KINDS:
            raise InputError(f"unknown kind of failure {name!r}", where="--kind", todo=suggest(name, KINDS))
    return asyncio.run(_retry(job, executions, kind, fleet, database))


async def _retry(
    prefix: str, executions: tuple[str, ...], kinds: tuple[str, ...], fleet: str | None, database: str | None
) -> ExitCode:
    async with embedded(database, fleet) as house:
        job_id = await house.database.read(jobs.resolve_id, prefix)
        driven = await somebody_drives(house.database, job_id)
        now = SystemClock().wall()
        chosen = Filter(kinds=kinds)
        reopened = await house.database.write(interventions.reopen, job_id, chosen, now, executions)
        if reopened.count == 0:
            raise InputError("nothing to retry: no execution that failed fits", where=job_id)
        print(f"job {job_id}: {reopened.count} executions are tried again", file=sys.stderr)
        if driven:
            return ExitCode.DONE
        interruption = Interruption(house.runner)
        driving = asyncio.create_task(house.runner.drive(job_id))
        await show_progress(house.database, house.router.snapshot, job_id, driving)
        await driving
        job = await house.database.read(jobs.get, job_id)
        report = await newest_report(house.database, job_id)
    if interruption.asked and not job.over:
        return ExitCode.INTERRUPTED
    print_findings(job, report)
    return exit_code_of(job)
