"""`beacon show`: one job, what it holds and what came of it."""

from __future__ import annotations

import json
from typing import Any

from beacon.cli.document import run_document
from beacon.cli.findings import print_findings, report_command
from beacon.cli.progress import Moment, read_moment, screen
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.cli.terminal import console, visible
from beacon.errors import NotFoundError
from beacon.store import jobs, pauses, reports
from beacon.store.database import Database


def show(job: JobArgument, /, *, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show a job: its status, its counts, its failures, its findings.

    Example: `beacon show k3v9`
    """
    moment, report = with_database(database, lambda opened: read_job(opened, job))
    if as_json:
        took = moment.job.completed_at and moment.job.completed_at - moment.job.created_at
        print(json.dumps(run_document(moment.job, report, took), ensure_ascii=False))
        return
    console().print(screen(moment, []))
    for pause in [] if moment.job.over else with_database(database, lambda opened: opened.read(pauses.current)):
        console().print(f"paused by an operator: {visible(pause.name)} ({visible(pause.why)})", markup=False)
    if moment.job.over:
        print_findings(moment.job, report, report_command(moment.job.id, database))


async def read_job(database: Database, prefix: str) -> tuple[Moment, dict[str, Any] | None]:
    """The job whose id begins with `prefix`, and its newest report where it has one."""
    job_id = await database.read(jobs.resolve_id, prefix)
    moment = await read_moment(database, job_id)
    return moment, await newest_report(database, job_id)


async def newest_report(database: Database, job_id: str) -> dict[str, Any] | None:
    try:
        return await database.read(reports.latest_report, job_id)
    except NotFoundError:
        return None
