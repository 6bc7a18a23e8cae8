"""`beacon watch`: follows a job that another process drives."""

from __future__ import annotations

import asyncio

from beacon.cli.document import exit_code_of
from beacon.cli.driving import how_to_go_on, somebody_drives
from beacon.cli.findings import print_findings, report_command
from beacon.cli.progress import show_progress
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument
from beacon.cli.show import read_job
from beacon.cli.terminal import say
from beacon.errors import ExitCode
from beacon.store import jobs
from beacon.store.database import Database

LOOK_S = 0.25
"""How often the database is looked at."""
NOBODY_S = 3.0
"""After so long without a process that drives the job, it is said; one that is about to begin takes less."""


def watch(job: JobArgument, /, *, database: DatabaseOption = None) -> int:
    """Follow a job until it is over, then print its findings.

    Example: `beacon watch k3v9`
    """
    return with_database(database, lambda opened: _watch(opened, job, database))


async def _watch(database: Database, prefix: str, option: str | None) -> ExitCode:
    job_id = await database.read(jobs.resolve_id, prefix)
    await show_progress(database, list, job_id, asyncio.create_task(_until_over(database, job_id)))
    moment, report = await read_job(database, job_id)
    print_findings(moment.job, report, report_command(job_id, option))
    return exit_code_of(moment.job)


async def _until_over(database: Database, job_id: str) -> None:
    """Another process drives the job; the database is all that tells of it. Says so where none does."""
    loop = asyncio.get_running_loop()
    driven_at, said = loop.time(), False
    while not (await database.read(jobs.get, job_id)).over:
        if await somebody_drives(database, job_id):
            driven_at, said = loop.time(), False
        elif not said and loop.time() - driven_at >= NOBODY_S:
            say(f"No process runs job {job_id}: {how_to_go_on(job_id)}. This waits until one does.")
            said = True
        await asyncio.sleep(LOOK_S)
