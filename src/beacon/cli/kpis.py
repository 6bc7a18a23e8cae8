"""`beacon kpis`: the eight measures with their targets, over the jobs of the database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.table import Table

from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JsonOption
from beacon.cli.terminal import console, visible
from beacon.domain.clock import SystemClock
from beacon.domain.kpis import DAY_S, History, Kpi
from beacon.domain.kpis import kpis as measures_of
from beacon.store import kpis as kpi_queries
from beacon.store.database import Database


def kpis(
    *,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=3_650), help="How far back.")] = 30,
    simulated: Annotated[bool, Parameter(negative="", help="Count simulated and replayed jobs too.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the eight measures that Beacon promises to hold: target, value, and the jobs that miss it.

    Simulated and replayed jobs are left out unless asked for. Portal load and live accuracy are what browsers reported.

    Example: `beacon kpis --days 7`
    """

    async def read(opened: Database) -> History:
        since = SystemClock().wall() - days * DAY_S
        return await opened.read(kpi_queries.history, since, simulated=simulated)

    history = with_database(database, read)
    found = measures_of(history)
    if as_json:
        print(json.dumps({"days": days, "jobs": len(history.jobs), "kpis": [document(kpi) for kpi in found]}))
    else:
        console().print(_table(found))
        print(f"{len(history.jobs):,} jobs of the last {days} days" + ("" if simulated else ", none of them simulated"))


def document(kpi: Kpi) -> dict[str, Any]:
    """As plain JSON values; what is unknown is null."""
    return asdict(kpi) | {"met": kpi.met}


def _table(found: list[Kpi]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (("measure", "left"), ("target", "right"), ("now", "right"), ("", "left"), ("of", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("misses", overflow="ellipsis", no_wrap=True)
    for kpi in found:
        sign = "≥" if kpi.at_least else "<"
        verdict = {True: "met", False: "missed", None: ""}[kpi.met]
        misses = ", ".join(f"{miss.job_id} {told(kpi, miss.value)}" for miss in kpi.misses)
        now = "unknown" if kpi.value is None else told(kpi, kpi.value)
        row = (kpi.name, f"{sign} {told(kpi, kpi.target)}", now, verdict, f"{kpi.of:,}", visible(misses))
        table.add_row(*row)
    return table


def told(kpi: Kpi, value: float) -> str:
    """In percent, or in seconds."""
    if kpi.unit == "share":
        return f"{100 * value:.4g}%"
    return f"{value:.3g} s" if value < 100 else f"{value / 60:.3g} min"
