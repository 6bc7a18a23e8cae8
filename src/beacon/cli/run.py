"""`beacon run`: submits a job, or goes on with one, and stays until its findings are there."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.busy import run_busy
from beacon.cli.embedded import Embedded, Interruption, embedded
from beacon.cli.following import Telling, drive_and_tell, tell
from beacon.cli.reading import with_database
from beacon.cli.remote import run_remotely
from beacon.cli.settings import DatabaseOption, FleetOption, JsonOption
from beacon.cli.show import read_job
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.domain.spec import JobSpec, check_against_fleet
from beacon.errors import ExitCode, InputError
from beacon.runner.admission import submit
from beacon.runner.inputs import read_spec
from beacon.store import jobs


def run(
    spec: Path | None = None,
    /,
    *,
    resume: Annotated[str | None, Parameter(help="Go on with this job instead of submitting a new one.")] = None,
    server: Annotated[
        str | None, Parameter(help="Have a `beacon serve` at this address run it, with its fleet and its database.")
    ] = None,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a job to its findings: progress on stderr, the findings on stdout.

    Ctrl-C stops it cleanly; what was recorded is kept, and `--resume` goes on.

    For example:

    ```
    beacon run examples/quickstart.yaml --fleet lab
    beacon run --resume k3v9 --fleet fleet.yaml
    beacon run job.yaml --server http://127.0.0.1:8080 --json
    ```

    Exit codes: 0 the job met its criteria; 1 it did not, failed or was cancelled; 2 bad input; 3 a service or the
    database could not be used; 130 interrupted.

    Parameters
    ----------
    spec
        The job spec, YAML or JSON.
    """
    if (spec is None) == (resume is None):
        raise InputError("name either a spec or a job to resume", todo="beacon run SPEC, or beacon run --resume JOB")
    telling = Telling(as_json, time.monotonic(), fleet, database)
    # Read first: a fault in the spec is said at once, with nothing started and nothing stored.
    wanted: JobSpec | str = read_spec(spec) if spec is not None else resume or ""
    if server is not None:
        if fleet or database:
            todo = "leave out --fleet and --database, or --server"
            raise InputError("a server runs jobs with its own fleet and database", where="--server", todo=todo)
        return asyncio.run(run_remotely(server, wanted, telling))
    if isinstance(wanted, str):
        return _resume(wanted, telling)
    return run_busy(_run(wanted, str(spec), telling))


def _resume(prefix: str, telling: Telling) -> ExitCode:
    """Goes on with a job; one that is over is told of, for which no fleet is needed."""
    moment, report = with_database(telling.database, lambda opened: read_job(opened, prefix))
    job = moment.job
    if not job.over:
        return run_busy(_run(job.id, f"job {job.id}", telling))
    say(job.id if telling.as_json else f"job {job.id}")
    say("The job is over already: nothing is sent.")
    return tell(job, report, telling)


async def _run(wanted: JobSpec | str, source: str, telling: Telling) -> ExitCode:
    """`wanted` is a spec to submit or the id of a job to resume."""
    check = partial(check_against_fleet, wanted, source=source) if isinstance(wanted, JobSpec) else None
    async with embedded(telling.database, telling.fleet, check=check) as house:
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
