"""`beacon show`: one job, what it holds and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from beacon.cli.document import run_document
from beacon.cli.driving import waiting_for_workers
from beacon.cli.findings import print_findings, report_command
from beacon.cli.progress import Moment, read_moment, screen
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.cli.terminal import console, visible
from beacon.errors import NotFoundError
from beacon.store import jobs, reports
from beacon.store.database import Database
from beacon.store.limits import Limit
from beacon.store.orders import standing_orders
from beacon.store.pauses import Pause
from beacon.store.workers import Unserved


@dataclass(frozen=True, slots=True)
class Held:
    """What holds back an open job: pauses and limits that operators set, and regions that no living worker serves."""

    pauses: list[Pause]
    limits: list[Limit]
    unserved: list[Unserved]


def show(job: JobArgument, /, *, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show a job: its status, its counts, its failures, its findings, and what holds it back.

    Example: `beacon show k3v9`
    """

    async def read(opened: Database) -> tuple[Moment, dict[str, Any] | None, Held]:
        moment, report = await read_job(opened, job)
        return moment, report, Held([], [], []) if moment.job.over else await _held(opened, moment.job.id)

    moment, report, held = with_database(database, read)
    if as_json:
        took = moment.job.completed_at and moment.job.completed_at - moment.job.created_at
        print(json.dumps(run_document(moment.job, report, took) | _document(held), ensure_ascii=False))
        return
    console().print(screen(moment, []))
    for line in _lines(held):
        console().print(visible(line), markup=False)
    if moment.job.over:
        print_findings(moment.job, report, report_command(moment.job.id, database))


async def _held(database: Database, job_id: str) -> Held:
    standing = await database.read(standing_orders)
    return Held(*standing, await waiting_for_workers(database, job_id))


def _document(held: Held) -> dict[str, Any]:
    return {
        "pauses": [asdict(pause) for pause in held.pauses],
        "limits": [asdict(limit) for limit in held.limits],
        "waits_for_workers": [{"region": one.region, "executions": one.executions} for one in held.unserved],
    }


def _lines(held: Held) -> Iterator[str]:
    for pause in held.pauses:
        yield f"paused by an operator: {pause.name} ({pause.why})"
    for limit in held.limits:
        yield f"limited by an operator: {limit.name}, {limit.at_most} at once ({limit.why})"
    for one in held.unserved:
        yield f"waiting, {one.executions:,} executions: {one.why}; {one.todo}"


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
