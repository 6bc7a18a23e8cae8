"""Driving one job in this process to its end: progress, findings, the exit code, and how to go on."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from dataclasses import dataclass
from typing import Any

from beacon.cli.document import exit_code_of, run_document
from beacon.cli.embedded import Embedded, Interruption
from beacon.cli.findings import print_findings, report_command
from beacon.cli.progress import show_progress
from beacon.cli.show import newest_report
from beacon.cli.terminal import say
from beacon.errors import ExitCode, UnavailableError
from beacon.store import jobs
from beacon.store.jobs import Job


@dataclass(frozen=True, slots=True)
class Telling:
    """How a command tells of its job. `began` is of `time.monotonic`; the flags are repeated in what it advises.

    `page` is where a server shows the job's findings.
    """

    as_json: bool
    began: float
    fleet: str | None = None
    database: str | None = None
    page: str | None = None

    def how_to_resume(self, job_id: str) -> str:
        command = ["beacon", "run", "--resume", job_id]
        command += ["--fleet", self.fleet] if self.fleet else []
        command += ["--database", self.database] if self.database else []
        return shlex.join(command)


async def drive_and_tell(house: Embedded, interruption: Interruption, job_id: str, telling: Telling) -> ExitCode:
    """Drives the job as far as it goes and prints what came of it."""
    try:
        job = await drive_with_progress(house, job_id, quiet=telling.as_json)
        report = await newest_report(house.database, job_id) if job.over else None
    except UnavailableError:
        say(f"What was recorded is kept; once it can go on: {telling.how_to_resume(job_id)}")
        raise
    if interruption.asked and not job.over:
        say(f"Interrupted. What was recorded is kept; go on with: {telling.how_to_resume(job_id)}")
        return ExitCode.INTERRUPTED
    return tell(job, report, telling)


def tell(job: Job, report: dict[str, Any] | None, telling: Telling) -> ExitCode:
    """Prints a job that is over."""
    if telling.as_json:
        print(json.dumps(run_document(job, report, time.monotonic() - telling.began), ensure_ascii=False))
    else:
        print_findings(job, report, telling.page or report_command(job.id, telling.database))
    return exit_code_of(job)


async def drive_with_progress(house: Embedded, job_id: str, *, quiet: bool) -> Job:
    """Drives the job as far as it goes, and shows on stderr how it goes."""
    driving = asyncio.create_task(house.runner.drive(job_id))
    try:
        if not quiet:
            await show_progress(house.runner.database, house.router.snapshot, job_id, driving)
        await driving
    finally:
        if not driving.done():
            house.runner.stop()
            await asyncio.wait([driving])
    return await house.runner.database.read(jobs.get, job_id)
