"""`beacon drift`: what changed from one run to a later one."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.text import Text

from beacon.cli.findings import HEADINGS, calls, print_listed
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JsonOption
from beacon.cli.terminal import console, visible
from beacon.errors import InputError
from beacon.runner.analyst import Analyst
from beacon.store import jobs, schedules
from beacon.store.database import Database


def drift(
    *job: Annotated[str, Parameter(help="Two or more jobs, the earliest first; each is compared with the one before.")],
    schedule: Annotated[str | None, Parameter(help="The runs of a schedule that are over, in place of jobs.")] = None,
    last: Annotated[int, Parameter(validator=validators.Number(gte=2), help="Of a schedule: how many runs.")] = 2,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs of the same questions over time: which model answers differently in which region.

    Example: `beacon drift k3v9 m2p4`

    The tests are those between regions, with the run in the region's place. What differs in how the runs were done
    (questions, sampling, routes, who labelled) is said first; questions with another wording are left out. With
    `--json` a list, one comparison after the other.
    """
    if (schedule is None) == (not job) or len(job) == 1:
        raise InputError("runs are compared with one another", todo="name two jobs or more, or one --schedule")

    async def compare(database: Database) -> list[dict[str, Any]]:
        named = await _runs_of(database, schedule, last) if schedule is not None else list(job)
        ids = [await database.read(jobs.resolve_id, name) for name in named]
        async with Analyst() as analyst:
            return [await analyst.ask("drift", database.url, *pair) for pair in pairwise(ids)]

    found = with_database(database, compare)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for document in found:
        _print(document)


async def _runs_of(database: Database, schedule_id: str, last: int) -> list[str]:
    """The newest jobs of the schedule that are over, the earliest first. Raises InputError where there are not two."""
    ticks = sorted(await database.read(schedules.history, schedule_id), key=lambda tick: tick.tick_at)
    run = [tick.job_id for tick in ticks if tick.job_id is not None]
    over = [job_id for job_id in run if (await database.read(jobs.get, job_id)).over]
    if len(over) < 2:
        what = f"schedule {schedule_id} has {len(over)} runs that are over"
        raise InputError(what, todo="wait for its second run; `beacon schedule list` names the schedules")
    return over[-last:]


def _print(document: dict[str, Any]) -> None:
    out = console()
    out.print(Text(f"\nFrom {document['base']['run']} to {document['other']['run']}", style="bold"))
    for sentence in document["differences"]:
        out.print(Text(f"Not the same: {visible(sentence)}", style="yellow"))
    report = document["report"]
    for notice in report["notices"]:
        out.print(Text(f"Note: {visible(notice)}", style="yellow"))
    by_call = calls(report)
    print_listed(out, by_call["difference"], "changes")
    for call in ("undecided", "negligible"):
        out.print(f"{len(by_call[call])} {HEADINGS[call]}.")
    if report["not_tested"]:
        out.print(f"{len(report['not_tested'])} comparisons could not be tested.")
