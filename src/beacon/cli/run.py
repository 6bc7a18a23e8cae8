"""`beacon run`: submits a job, or goes on with one, and stays until its findings are there."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.document import run_document
from beacon.cli.embedded import Embedded, Interruption, embedded
from beacon.cli.findings import print_findings
from beacon.cli.progress import show_progress
from beacon.cli.settings import DatabaseOption, FleetOption, JsonOption
from beacon.cli.show import newest_report
from beacon.domain.clock import SystemClock
from beacon.domain.spec import check_against_fleet
from beacon.domain.states import JobStatus, Verdict
from beacon.errors import ExitCode, InputError, UnavailableError
from beacon.runner.admission import submit
from beacon.runner.inputs import read_spec
from beacon.store import jobs
from beacon.store.jobs import Job


def run(
    spec: Path | None = None,
    *,
    resume: Annotated[str | None, Parameter(help="Go on with this job instead of submitting a new one.")] = None,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a job to its findings.

    Example: `beacon run examples/quickstart.yaml --fleet lab`

    Exit codes: 0 the job met its criteria, 1 it did not, failed or was cancelled, 2 bad input, 3 a service or the
    database could not be used, 130 interrupted.

    Parameters
    ----------
    spec
        The job spec, YAML or JSON.
    """
    if (spec is None) == (resume is None):
        raise InputError("name either a spec or a job to resume", todo="beacon run SPEC, or beacon run --resume JOB")
    return asyncio.run(_run(spec, resume, fleet, database, as_json))


async def _run(
    spec: Path | None, resume: str | None, fleet: str | None, database: str | None, as_json: bool
) -> ExitCode:
    began = time.monotonic()
    async with embedded(database, fleet) as house:
        job_id = await _submitted(house, spec) if spec is not None else await _resumed(house, resume or "")
        print(job_id if as_json else f"job {job_id}", file=sys.stderr, flush=True)
        interruption = Interruption(house.runner)
        try:
            job = await drive_with_progress(house, job_id, quiet=as_json)
        except UnavailableError:
            print(_how_to_resume(job_id, fleet, database), file=sys.stderr)
            raise
        if interruption.asked and not job.over:
            print(_how_to_resume(job_id, fleet, database), file=sys.stderr)
            return ExitCode.INTERRUPTED
        report = await newest_report(house.database, job.id)
    if as_json:
        print(json.dumps(run_document(job, report, time.monotonic() - began), ensure_ascii=False))
    else:
        print_findings(job, report)
    return exit_code_of(job)


async def _submitted(house: Embedded, path: Path) -> str:
    spec = read_spec(path)
    check_against_fleet(spec, house.fleet, str(path))
    job_id, _ = await submit(house.database, spec, house.fleet, SystemClock())
    return job_id


async def _resumed(house: Embedded, prefix: str) -> str:
    job_id = await house.database.read(jobs.resolve_id, prefix)
    spec = await house.database.read(jobs.spec_of, job_id)
    check_against_fleet(spec, house.fleet, f"job {job_id}")
    return job_id


async def drive_with_progress(house: Embedded, job_id: str, *, quiet: bool) -> Job:
    """Drives the job as far as it goes, and shows on stderr how it goes."""
    driving = asyncio.create_task(house.runner.drive(job_id))
    if not quiet:
        await show_progress(house.database, house.router.snapshot, job_id, driving)
    await driving
    return await house.database.read(jobs.get, job_id)


def exit_code_of(job: Job) -> ExitCode:
    """0 exactly for a completed job that met its criteria."""
    succeeded = job.status is JobStatus.COMPLETED and job.verdict is Verdict.MET
    return ExitCode.DONE if succeeded else ExitCode.JOB_UNSUCCESSFUL


def _how_to_resume(job_id: str, fleet: str | None, database: str | None) -> str:
    command = ["beacon", "run", "--resume", job_id]
    command += ["--fleet", fleet] if fleet else []
    command += ["--database", database] if database else []
    return f"What was recorded is kept; go on with: {shlex.join(command)}"
