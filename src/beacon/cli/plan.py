"""`beacon plan`: what a job would ask, take and cost, before anything is sent."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from beacon.analysis.power import PowerPlan, power_plan
from beacon.cli.gateway_fleet import gateway_fleet
from beacon.cli.keep_warm import KeepWarmPlan, RunsOption, WindowOption
from beacon.cli.progress import span
from beacon.cli.settings import GATEWAY_VARIABLE, DatabaseOption, FleetOption, JsonOption, database_file, database_url
from beacon.cli.terminal import UNKNOWN, console, dollars, visible
from beacon.domain.estimate import BYTES_PER_TOKEN, CellEstimate, Estimate, estimate
from beacon.domain.fleet import Fleet
from beacon.domain.keep_warm import RUNS_A_MONTH, job_saves_s, keep_warm_costs
from beacon.domain.plan import SHARD_SIZE
from beacon.domain.spec import JobSpec, check_against_fleet
from beacon.lab.fleet import unstarted_fleet
from beacon.runner.inputs import LAB, find_fleet, read_fleet, read_spec
from beacon.store import history
from beacon.store.database import open_database
from beacon.store.history import Pace

Paces = Mapping[tuple[str, str], Pace]


def plan(
    spec: Path,
    /,
    *,
    fleet: FleetOption = None,
    runs_per_month: RunsOption = RUNS_A_MONTH,
    window_hours: WindowOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a job before it is run: its matrix, time, cost and power. Nothing is sent and nothing is stored.

    The time is estimated from earlier jobs of the same providers in the database, where there are any; the cost from
    the prices in the fleet. What is not known is shown as unknown. The power is the smallest difference between two
    regions that the questions and repeats can show. For providers that can be cold it tells what each keep-warm policy
    would cost a month, and how much sooner their first answers would come.

    Example: `beacon plan examples/quickstart.yaml --fleet lab`

    Parameters
    ----------
    spec
        The job spec, YAML or JSON.
    """
    wanted = read_spec(spec)
    served, paces = asyncio.run(_look(wanted, str(spec), fleet, database))
    planned = estimate(wanted, served, {cell: pace.mean_s for cell, pace in paces.items()})
    assumptions = [*_time_assumptions(wanted, served, planned, paces), *_cost_assumptions(wanted, served, planned)]
    costs = keep_warm_costs(wanted, served, runs_a_month=runs_per_month, window_hours=window_hours)
    warmth = KeepWarmPlan(runs_per_month, costs, job_saves_s(served, planned.busy_s))
    power = power_plan(wanted)
    if as_json:
        print(json.dumps(document(wanted, planned, power, warmth, assumptions), ensure_ascii=False))
    else:
        _print_plan(wanted, planned, power, warmth, assumptions)


async def _look(
    spec: JobSpec, source: str, fleet_option: str | None, database_option: str | None
) -> tuple[Fleet, Paces]:
    """The fleet, which must serve the spec, and how long its providers took before."""
    fleet = await _unopened(fleet_option)
    check_against_fleet(spec, fleet, source)
    url = database_url(database_option)
    place = database_file(url)
    if place is not None and not place.exists():
        return fleet, {}
    database = await open_database(url)
    try:
        return fleet, await database.read(history.paces, [provider.name for provider in fleet.providers])
    finally:
        await database.close()


async def _unopened(fleet_option: str | None) -> Fleet:
    """The fleet that a run would use, without starting anything."""
    gateway = os.environ.get(GATEWAY_VARIABLE, "").strip()
    if gateway:
        return await gateway_fleet(gateway, os.environ)
    chosen = find_fleet(fleet_option, os.environ)
    return unstarted_fleet() if chosen == LAB else read_fleet(Path(chosen)).fleet


def document(
    spec: JobSpec, planned: Estimate, power: PowerPlan, warmth: KeepWarmPlan, assumptions: list[str]
) -> dict[str, Any]:
    """The plan as one JSON document; what is unknown is null."""
    return {
        "name": spec.name,
        "total": spec.total,
        "questions": len(spec.questions),
        "models": list(spec.models),
        "regions": list(spec.regions),
        "personas": list(spec.personas),
        "languages": spec.languages if isinstance(spec.languages, dict) else list(spec.languages),
        "repeats": spec.repeats,
        "seed": spec.seed,
        "shards": planned.shards,
        "time_s": planned.seconds,
        "time_s_per_answer_s": planned.rounds,
        "cold_start_s": planned.cold_start_s,
        "cost_usd_at_most": planned.cost_usd,
        "cells": [asdict(cell) for cell in planned.cells],
        "keep_warm": warmth.document(),
        "assumptions": assumptions,
        "detectable": {
            "comparisons": power.comparisons,
            "power": power.design.power,
            "alpha": power.design.alpha,
            "spread": power.design.spread,
            "completion": power.design.completion,
            "reaches": [asdict(reach) for reach in power.reaches],
            "on_one_question": power.smallest_on_one_question,
            "sentences": power.sentences(),
        },
    }


def _time_assumptions(spec: JobSpec, fleet: Fleet, planned: Estimate, paces: Paces) -> list[str]:
    said = ["time: every provider takes as many requests at once as the fleet says, and nothing fails"]
    answers = sum(pace.answers for (_, model), pace in paces.items() if model in spec.models)
    if answers:
        said.append(f"time: an answer takes as long as the {answers:,} earlier ones of these providers did on average")
    if planned.seconds is None:
        missing = _without_pace(spec, fleet, paces)
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        said.append(f"time: the database has no earlier answers of {', '.join(missing[:3])}{more}")
    if planned.cold_start_s:
        said.append(f"time: a provider that has to start takes up to {span(planned.cold_start_s)} more")
    deadline = spec.limits.job_deadline
    if deadline is not None and planned.seconds is not None and planned.seconds > deadline:
        said.append(f"time: this is beyond limits.job_deadline, {span(deadline)}: the rest would be cancelled")
    return said


def _without_pace(spec: JobSpec, fleet: Fleet, paces: Paces) -> list[str]:
    """The providers that the job would use and that have not answered for each of its models before."""
    return [
        provider.name
        for provider in fleet.providers
        if provider.region in spec.regions
        and any((provider.name, model) not in paces for model in provider.models if model in spec.models)
    ]


def _cost_assumptions(spec: JobSpec, fleet: Fleet, planned: Estimate) -> list[str]:
    said = [
        f"cost: each answer is as long as max_tokens allows, {spec.sampling.max_tokens} tokens; "
        f"a prompt has a token for {BYTES_PER_TOKEN} bytes; no retries"
    ]
    unpriced = sorted({c.region for c in planned.cells if c.cost_usd is None})
    if unpriced:
        said.append(f"cost: the fleet gives no prices for some providers in {', '.join(unpriced)}")
    if any(p.simulated for p in fleet.providers if p.region in spec.regions):
        said.append("cost: simulated providers charge nothing")
    ceiling = spec.limits.max_cost_usd
    if ceiling is not None and planned.cost_usd is not None and planned.cost_usd > ceiling:
        said.append(f"cost: limits.max_cost_usd, ${ceiling:g}, may end the job before all is asked")
    return said


def _print_plan(
    spec: JobSpec, planned: Estimate, power: PowerPlan, warmth: KeepWarmPlan, assumptions: list[str]
) -> None:
    out = console()
    out.print(Text(f"{visible(spec.name)}: {spec.total:,} executions", style="bold"))
    out.print(f"{_matrix(spec)}; {_count(planned.shards, 'shard')} of at most {SHARD_SIZE}; seed {spec.seed}\n")
    out.print(_table(planned.cells))
    out.print(f"\nTime: {_time(planned)}")
    out.print(f"Cost: {'unknown' if planned.cost_usd is None else f'at most {dollars(planned.cost_usd)}'}")
    warmth.print(out)
    _print_list(out, "What can be shown", power.sentences())
    _print_list(out, "Assumed", [*assumptions, *warmth.assumptions()])


def _print_list(out: Console, heading: str, lines: list[str]) -> None:
    out.print(Text(f"\n{heading}", style="bold"))
    listed = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        listed.add_row(" -", Text(visible(line)))
    out.print(listed)


def _matrix(spec: JobSpec) -> str:
    languages = "1 language each" if isinstance(spec.languages, dict) else _count(len(spec.languages), "language")
    axes = (
        *(_count(len(spec.questions), "question"), _count(len(spec.models), "model")),
        *(_count(len(spec.regions), "region"), _count(len(spec.personas), "persona")),
        *(languages, _count(spec.repeats, "repeat")),
    )
    return " × ".join(axes)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _time(planned: Estimate) -> str:
    if planned.seconds is not None:
        return f"about {span(planned.seconds)}"
    return f"unknown; if an answer takes 10 s, about {span(10 * planned.rounds)}"


def _table(cells: tuple[CellEstimate, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("region", "model", "providers"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("executions", "at once", "mean answer", "cost at most"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        answer = (
            UNKNOWN
            if cell.answer_s is None
            else f"{cell.answer_s:.2f} s"
            if cell.answer_s < 10
            else span(cell.answer_s)
        )
        cost = UNKNOWN if cell.cost_usd is None else dollars(cell.cost_usd)
        names = ", ".join(cell.providers)
        table.add_row(cell.region, visible(cell.model), names, f"{cell.executions:,}", str(cell.at_once), answer, cost)
    return table
