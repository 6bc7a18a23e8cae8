"""`beacon cancel`: asks that a job stops; what had finished is kept and sealed."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.driving import somebody_drives
from beacon.cli.embedded import Interruption, embedded_without_fleet
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.errors import ConflictError, ExitCode
from beacon.store import interventions, jobs
from beacon.store.database import Database


def cancel(
    job: JobArgument,
    /,
    *,
    stragglers: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="End only what is still open; the job completes with its verdict."
        ),
    ] = False,
    why: Annotated[str | None, Parameter(help="The reason, which the job's events keep.")] = None,
    database: DatabaseOption = None,
) -> int:
    """Cancel a job: nothing more is sent, what had finished is kept, the job closes as `cancelled`.

    Where a process runs the job, that process closes it; else this one does, without asking any provider. With
    `--stragglers` the last executions end as `straggler`, and `beacon retry JOB --kind straggler` asks them again.

    For example:

    ```
    beacon cancel k3v9
    beacon cancel k3v9 --stragglers --why "apac has been down since noon"
    ```
    """
    kind = FailureKind.STRAGGLER if stragglers else FailureKind.CANCELLED
    job_id, driven = with_database(database, lambda opened: _ask_to_stop(opened, job, kind, why))
    if driven:
        say("Its runner ends it; what had finished is kept.")
        return ExitCode.DONE
    return asyncio.run(_close_it_here(job_id, database))


async def _ask_to_stop(database: Database, prefix: str, kind: FailureKind, why: str | None) -> tuple[str, bool]:
    """The job's id, and whether a living runner drives it."""
    job_id = await database.read(jobs.resolve_id, prefix)
    asked = await database.write(interventions.request_stop, job_id, kind.value, SystemClock().wall(), why)
    job = await database.read(jobs.get, job_id)
    if not asked and (job.over or job.stop_kind is None):
        todo = f"`beacon show {job_id}` shows what came of it" if job.over else "its results are being finalized"
        raise ConflictError(f"job {job_id} is {job.status.value} and cannot be cancelled any more", todo=todo)
    say(f"job {job_id}: {'ending its stragglers' if kind is FailureKind.STRAGGLER else 'cancelling'}")
    return job_id, await somebody_drives(database, job_id)


async def _close_it_here(job_id: str, database: str | None) -> ExitCode:
    """Brings a job that nobody drives, and that may send nothing more, to its end."""
    async with embedded_without_fleet(database) as house:
        interruption = Interruption(house.runner)
        await house.runner.drive(job_id)
        job = await house.database.read(jobs.get, job_id)
    if interruption.asked and not job.over:
        return ExitCode.INTERRUPTED
    say(f"job {job_id}: {job.status.value}, {job.counts['completed']:,} of {job.total:,} executions kept")
    return ExitCode.DONE
