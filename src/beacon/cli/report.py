"""`beacon report`: everything that was compared, in the terminal or as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

from beacon.cli.findings import print_report
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.store import jobs, reports
from beacon.store.database import Database
from beacon.store.jobs import Job


def report(
    job: JobArgument,
    /,
    *,
    version: Annotated[int | None, Parameter(help="An earlier version of the report; default the newest.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a job's report: what differs, what does not, what could not be tested, and how it was done.

    Example: `beacon report k3v9`
    """

    async def read(database: Database) -> tuple[Job, dict[str, Any]]:
        job_id = await database.read(jobs.resolve_id, job)
        document = await database.read(reports.latest_report, job_id, version)
        return await database.read(jobs.get, job_id), document

    found, document = with_database(database, read)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        print_report(found, document)
