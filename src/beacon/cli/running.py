"""What `beacon run` does once the spec is read."""

from __future__ import annotations

import asyncio
from functools import partial

from beacon.cli.busy import run_busy
from beacon.cli.embedded import Embedded, Interruption, embedded
from beacon.cli.following import Telling, drive_and_tell, tell
from beacon.cli.reading import with_database
from beacon.cli.remote import run_remotely
from beacon.cli.show import read_job
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.domain.spec import JobSpec, check_against_fleet
from beacon.errors import ExitCode
from beacon.lab.fleet import Lab
from beacon.runner.admission import submit
from beacon.store import jobs


def run(wanted: JobSpec | str, source: str, telling: Telling, server: str | None, lab: Lab | None) -> ExitCode:
    """`wanted` is a spec to submit or the beginning of the id of a job to resume; `lab` was begun for it."""
    if server is not None:
        return asyncio.run(run_remotely(server, wanted, telling))
    if isinstance(wanted, str):
        return _resume(wanted, telling)
    return run_busy(_run(wanted, source, telling, lab))


def _resume(prefix: str, telling: Telling) -> ExitCode:
    """Goes on with a job; one that is over is told of, for which no fleet is needed."""
    moment, report = with_database(telling.database, lambda opened: read_job(opened, prefix))
    job = moment.job
    if not job.over:
        return run_busy(_run(job.id, f"job {job.id}", telling))
    say(job.id if telling.as_json else f"job {job.id}")
    say("The job is over already: nothing is sent.")
    return tell(job, report, telling)


async def _run(wanted: JobSpec | str, source: str, telling: Telling, lab: Lab | None = None) -> ExitCode:
    """`wanted` is a spec to submit or the id of a job to resume."""
    check = partial(check_against_fleet, wanted, source=source) if isinstance(wanted, JobSpec) else None
    async with embedded(telling.database, telling.fleet, check=check, lab=lab) as house:
        interruption = Interruption(house.runner)
        job_id = await _job_of(house, wanted, source)
        say(job_id if telling.as_json else f"job {job_id}")
        return await drive_and_tell(house, interruption, job_id, telling)


async def _job_of(house: Embedded, wanted: JobSpec | str, source: str) -> str:
    """The job that is to be driven; raises DocumentError where it is there and the fleet does not serve it."""
    if isinstance(wanted, JobSpec):
        return (await submit(house.database, wanted, house.fleet, SystemClock()))[0]
    check_against_fleet(await house.database.read(jobs.spec_of, wanted), house.fleet, source)
    return wanted
