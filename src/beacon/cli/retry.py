"""`beacon retry`: executions that failed are tried again, and the job's report is made again."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.busy import run_busy
from beacon.cli.driving import somebody_drives
from beacon.cli.embedded import Interruption, embedded, embedded_without_fleet
from beacon.cli.following import Telling, drive_and_tell
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, FleetOption, JobArgument
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.domain.names import suggest
from beacon.domain.spec import check_against_fleet
from beacon.domain.states import UNSUCCESSFUL
from beacon.errors import ConflictError, ExitCode, InputError
from beacon.store import interventions, jobs
from beacon.store.database import Database
from beacon.store.executions import Filter
from beacon.store.jobs import Job

KINDS = [kind.value for kind in FailureKind]


def retry(
    job: JobArgument,
    /,
    *executions: Annotated[str, Parameter(help="Ids of executions; default all that did not complete.")],
    kind: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="Only failures of this kind; may be given several times."),
    ] = (),
    finalize: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only make the report of a job that has failed without.")
    ] = False,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Retry what failed, timed out or was cancelled in a job: everything, one kind, or the executions named.

    Where a process runs the job, that process does it; else this one, which then needs the fleet. What completed is
    never asked again.

    For example:

    ```
    beacon retry k3v9 --fleet fleet.yaml
    beacon retry k3v9 --kind rate_limited --kind deadline_expired
    beacon retry k3v9 --finalize
    ```
    """
    for name in kind:
        if name not in KINDS:
            raise InputError(f"unknown kind of failure {name!r}", where="--kind", todo=suggest(name, KINDS))
    telling = Telling(False, time.monotonic(), fleet, database)
    chosen = Filter(kinds=kind)
    found, driven = with_database(database, lambda opened: _whose(opened, job))
    if finalize:
        if kind or executions:
            raise InputError("--finalize tries no execution again", todo="leave out the kinds and executions, or it")
        return run_busy(_finalize_here(found.id, telling))
    _refuse_needless(found)
    if not driven:
        return run_busy(_retry_here(found.id, chosen, executions, telling))
    with_database(database, lambda opened: _reopen(opened, found.id, chosen, executions))
    say("Its runner takes them up.")
    return ExitCode.DONE


async def _whose(database: Database, prefix: str) -> tuple[Job, bool]:
    """The job, and whether a living runner drives it."""
    job = await database.read(jobs.get, await database.read(jobs.resolve_id, prefix))
    return job, await somebody_drives(database, job.id)


def _refuse_needless(job: Job) -> None:
    """Said before a fleet is asked for, or the lab started."""
    if not any(job.counts[status.value] for status in UNSUCCESSFUL):
        state = "all completed" if job.over else "none has failed so far"
        what = f"nothing to retry: of {job.total:,} executions {state}"
        raise ConflictError(what, where=f"job {job.id}", todo=f"`beacon show {job.id}` shows them")


async def _reopen(database: Database, job_id: str, chosen: Filter, executions: tuple[str, ...]) -> None:
    """Raises ConflictError where there is nothing to retry, and while the job is finalizing."""
    now = SystemClock().wall()
    reopened = await database.write(interventions.reopen, job_id, chosen, now, executions)
    if reopened.count == 0:
        todo = f"`beacon show {job_id}` shows what failed, and of which kind"
        raise ConflictError(
            "nothing to retry: what was named completed, or is no failure", where=f"job {job_id}", todo=todo
        )
    say(f"job {job_id}: {reopened.count:,} executions are tried again")


async def _retry_here(job_id: str, chosen: Filter, executions: tuple[str, ...], telling: Telling) -> ExitCode:
    async with embedded(telling.database, telling.fleet) as house:
        interruption = Interruption(house.runner)
        spec = await house.database.read(jobs.spec_of, job_id)
        check_against_fleet(spec, house.fleet, f"job {job_id}")
        await _reopen(house.database, job_id, chosen, executions)
        return await drive_and_tell(house, interruption, job_id, telling)


async def _finalize_here(job_id: str, telling: Telling) -> ExitCode:
    async with embedded_without_fleet(telling.database) as house:
        interruption = Interruption(house.runner)
        await house.database.write(interventions.finalize_again, job_id, SystemClock().wall())
        say(f"job {job_id}: its report is made again")
        return await drive_and_tell(house, interruption, job_id, telling)
