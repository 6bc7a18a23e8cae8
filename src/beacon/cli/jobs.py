"""`beacon jobs`: the jobs of the database, newest first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.table import Table
from rich.text import Text

from beacon.cli.document import job_document
from beacon.cli.driving import how_to_go_on, somebody_drives, waiting_for_workers
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JsonOption
from beacon.cli.terminal import console, say, visible
from beacon.errors import NotFoundError
from beacon.store import jobs as job_queries
from beacon.store.database import Database
from beacon.store.jobs import Job
from beacon.store.workers import Unserved

StatusName = Literal["queued", "running", "finalizing", "completed", "failed", "cancelled"]
MOST = 10_000


def jobs(
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=MOST), help="How many at most.")] = 20,
    status: Annotated[StatusName | None, Parameter(help="Only jobs of this status.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first.

    Example: `beacon jobs --limit 5`
    """

    async def read(opened: Database) -> tuple[list[Job], set[str], list[Unserved]]:
        page = await opened.read(job_queries.list_page, limit=limit, statuses=(status,) if status else ())
        idle = {job.id for job in page if not job.over and not await somebody_drives(opened, job.id)}
        return page, idle, await waiting_for_workers(opened)

    try:
        found, idle, lacking = with_database(database, read)
    except NotFoundError as missing:
        # No database yet means no jobs yet; where it would be is said, for a mistyped address.
        found, idle, lacking = [], set(), []
        say(missing.what)
    if as_json:
        print(json.dumps([job_document(job) for job in found], ensure_ascii=False))
    elif found:
        console().print(_table(found))
        for one in lacking:
            say(f"Job {one.job_id} waits, {one.executions:,} executions: {one.why}; {one.todo}.")
        for job_id in (job.id for job in found if job.id in idle - {one.job_id for one in lacking}):
            say(f"No process runs job {job_id}: {how_to_go_on(job_id)}.")
    else:
        print("No such jobs." if status else "No jobs yet. Start one: beacon run examples/quickstart.yaml --fleet lab")


def _table(found: list[Job]) -> Table:
    rows = [_row(job) for job in found]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(("job", "created (UTC)", "status", "done")):
        # On a narrow terminal only the name is cut: an id that is cut is of no use.
        width = max(len(name), *(len(row[place]) for row in rows))
        table.add_column(name, justify="right" if name == "done" else "left", no_wrap=True, min_width=width)
    table.add_column("name", overflow="ellipsis", no_wrap=True)
    for job, row in zip(found, rows, strict=True):
        marks = "simulated: " * job.simulated + "replayed: " * job.replayed
        table.add_row(*row, Text(marks, style="magenta").append(visible(job.name), style="default"))
    return table


def _row(job: Job) -> tuple[str, ...]:
    created = datetime.fromtimestamp(job.created_at, UTC).strftime("%Y-%m-%d %H:%M")
    status = f"{job.status.value}, {job.verdict.value}" if job.verdict else job.status.value
    return job.id, created, status, f"{job.done:,}/{job.total:,}"
