"""`beacon schedule`: a spec on a cron expression, run by whoever drives the jobs of the database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from beacon.cli.embedded import opened_fleet
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, FleetOption, JsonOption, database_url
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.domain.spec import check_against_fleet
from beacon.errors import ExitCode
from beacon.runner.admission import documents_of, new_job_id
from beacon.runner.inputs import read_spec_to_repeat
from beacon.runner.schedule import check_cron, next_tick
from beacon.store import leases, schedules
from beacon.store.database import open_database

schedule = App(
    name="schedule",
    help=(
        "Run a job again and again: `beacon serve` and `beacon worker` start it at its times, each time once.\n\n"
        "Example: `beacon schedule add job.yaml --cron '0 6 * * *' --fleet fleet.yaml`"
    ),
    result_action="return_value",
)


@schedule.command
def add(
    spec: Path,
    /,
    *,
    cron: Annotated[str, Parameter(help="Minute, hour, day, month, weekday; in UTC.")],
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Add a schedule; its id is printed.

    The spec is read now, with its packs; the fleet says for which kind of providers it is meant. Each run has a seed of
    its own, which follows from schedule and time; a seed that stands in the spec is that of every run.
    """
    check_cron(cron)
    document, pins = read_spec_to_repeat(spec)

    async def documents() -> tuple[str, str, str]:
        async with opened_fleet(fleet) as file:
            check_against_fleet(document, file.fleet, str(spec))
            return documents_of(document, file.fleet)

    spec_json, fleet_json, _ = asyncio.run(documents())
    schedule_id = new_job_id()
    now = asyncio.run(_add(database_url(database), schedule_id, document.name, cron, (spec_json, fleet_json), pins))
    print(schedule_id)
    say(f"It runs for the first time at {_shown(next_tick(cron, now))}.")
    return ExitCode.DONE


async def _add(url: str, schedule_id: str, name: str, cron: str, documents: tuple[str, str], pins: bool) -> float:
    """Stores it and returns the moment, by the clock that its times go by."""
    database = await open_database(url)
    try:
        now = await database.read(leases.moment, SystemClock().wall())
        await database.write(schedules.add, schedule_id, name, cron, documents, now, pins=pins)
    finally:
        await database.close()
    return now


@schedule.command(name="list")
def list_(*, database: DatabaseOption = None, as_json: JsonOption = False) -> int:
    """List the schedules, with their next times."""
    now = SystemClock().wall()
    found = with_database(database, lambda opened: opened.read(schedules.active))
    rows: list[dict[str, Any]] = [
        {"id": s.id, "name": s.name, "cron": s.cron, "last": s.last_tick, "next": next_tick(s.cron, now)} for s in found
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return ExitCode.DONE
    for row in rows:
        print(f"{row['id']}  {row['cron']:15}  next {_shown(row['next'])}  {row['name']}")
    if not rows:
        say("No schedules.")
    return ExitCode.DONE


@schedule.command
def remove(schedule_id: str, /, *, database: DatabaseOption = None) -> int:
    """End a schedule; its jobs and its history stay."""
    now = SystemClock().wall()
    with_database(database, lambda opened: opened.write(schedules.remove, schedule_id, now))
    return ExitCode.DONE


@schedule.command
def history(schedule_id: str, /, *, database: DatabaseOption = None, as_json: JsonOption = False) -> int:
    """Its times, newest first: the job of each, or that it was missed."""
    found = with_database(database, lambda opened: opened.read(schedules.history, schedule_id))
    if as_json:
        print(json.dumps([{"at": t.tick_at, "job_id": t.job_id, "status": t.status} for t in found]))
        return ExitCode.DONE
    for tick in found:
        print(f"{_shown(tick.tick_at)}  {tick.job_id or 'missed':14}  {tick.status or ''}".rstrip())
    return ExitCode.DONE


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
