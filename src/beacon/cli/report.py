"""`beacon report`: everything that was compared, in the terminal or as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from beacon.cli.findings import print_report
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.cli.sink import sink
from beacon.cli.terminal import visible
from beacon.domain.clock import SystemClock
from beacon.errors import InputError
from beacon.runner.again import report_again
from beacon.runner.analyst import Analyst
from beacon.runner.report_page import Shown, draw_charts, page, shown, telling_executions
from beacon.store import executions, jobs, reports
from beacon.store.database import Database
from beacon.store.jobs import Job

Telling = dict[str, tuple[Shown, ...]]


def report(
    job: JobArgument,
    /,
    *,
    version: Annotated[int | None, Parameter(help="An earlier version of the report; default the newest.")] = None,
    again: Annotated[
        bool, Parameter(negative="", help="Analyse the stored answers anew; both reports are kept.")
    ] = False,
    embeddings: Annotated[
        str | None,
        Parameter(help="With --again: compare texts by this model's vectors too; `beacon embed` fetches them."),
    ] = None,
    html: Annotated[
        Path | None, Parameter(help="Write it with charts into one HTML file, which opens without a network.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a job's report: what differs, what does not, what could not be tested, and how it was done.

    Example: `beacon report k3v9`

    `--again` makes a further version from the answers and labels as they are now, by the method of this program. What
    was sealed stays as it was: the new version is not part of the job's bundle.
    """

    async def read(database: Database) -> tuple[Job, dict[str, Any], Telling]:
        job_id = await database.read(jobs.resolve_id, job)
        if again:
            made = await _again(database, job_id, embeddings)
            print(f"version {made} of the report; earlier ones by --version", file=sys.stderr)
        document = await database.read(reports.latest_report, job_id, version)
        telling = await _telling(database, document) if html is not None else {}
        return await database.read(jobs.get, job_id), document, telling

    if again and version is not None:
        raise InputError("--again makes a new version and --version shows an earlier one", todo="give one of them")
    if embeddings is not None and not again:
        raise InputError("embeddings are for a further report", where="--embeddings", todo="add --again")
    found, document, telling = with_database(database, read)
    if html is not None:
        written = page(found, document, draw_charts(document), telling, SystemClock().wall())
        with sink(html) as file:
            file.write(written)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    elif html is None:
        print_report(found, document)
    else:
        print(f"written to {visible(str(html))}")


async def _telling(database: Database, document: dict[str, Any]) -> Telling:
    """The answers that show the strongest differences best."""
    return {
        finding: tuple([shown(await database.read(executions.get, execution), group) for execution, group in pair])
        for finding, pair in telling_executions(document).items()
    }


async def _again(database: Database, job_id: str, embedding_model: str | None) -> int:
    async with Analyst() as analyst:
        return await report_again(database, job_id, analyst, SystemClock(), embedding_model)
