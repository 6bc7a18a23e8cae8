"""`beacon doctor`: whether this installation and its providers are fit for a job."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from beacon.cli.embedded import opened_fleet
from beacon.cli.house_checks import check_house
from beacon.cli.settings import DatabaseOption, FleetOption, JsonOption, database_url
from beacon.cli.terminal import console, dollars, say, visible
from beacon.domain.check import Check, Level, exit_code, of_error
from beacon.domain.fleet import Provider
from beacon.errors import BeaconError, DocumentError, ExitCode
from beacon.router.checkup import PROBE_TOKENS, check_provider, probe_cost_usd

AT_ONCE = 16
_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What was looked at, and all that was found."""

    name: str
    about: str
    checks: Sequence[Check]


def doctor(
    *,
    fleet: FleetOption = None,
    probe: Annotated[
        bool, Parameter(negative="", show_default=False, help="Ask each model one small question; this costs money.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check database, signing key and providers: connection, key, models, region, clock.

    No inference runs unless `--probe` is given, and a provider with a `cold_start` is not called, since that would
    wake it. Ends with 0 if there are at most warnings, with 3 if something could not be reached, else with 2.

    Example: `beacon doctor --fleet fleet.yaml`
    """
    subjects = asyncio.run(_examine(fleet, database_url(database), probe))
    code = exit_code([check for subject in subjects for check in subject.checks])
    if as_json:
        print(json.dumps(document(subjects, code), ensure_ascii=False))
    else:
        _print(subjects)
    return code


async def _examine(fleet_option: str | None, url: str, probe: bool) -> list[Subject]:
    house = Subject("this installation", "", await check_house(url))
    try:
        async with opened_fleet(fleet_option) as file:
            if probe:
                say(_announced(file.fleet.providers))
            turn = asyncio.Semaphore(AT_ONCE)

            async def examine(provider: Provider) -> Subject:
                async with turn:
                    checks = await check_provider(provider, base=file.base, environ=os.environ, probe=probe)
                at = f"{provider.region}, {provider.transport}, {provider.url or provider.file}"
                return Subject(provider.name, at, checks)

            return [house, *await asyncio.gather(*map(examine, file.fleet.providers))]
    except BeaconError as fault:
        # One document, whatever is wrong: the fleet's own faults are findings like any other.
        return [house, Subject("fleet", "", [_fleet_fault(fault)])]


def _fleet_fault(fault: BeaconError) -> Check:
    whole, _, todo = fault.explain().partition("\n  to do: ")
    check = of_error("configuration", fault)
    # Where it is and what to do stand under each other.
    sentence = whole if isinstance(fault, DocumentError) else whole.replace("\n  where: ", "\nwhere: ")
    return Check(check.about, check.level, sentence, todo or None, check.unreachable)


def _announced(providers: Sequence[Provider]) -> str:
    """What the probes will ask and cost, said before they are sent."""
    asked = [provider for provider in providers if not provider.replayed]
    count = sum(len(provider.models) for provider in asked)
    costs = [probe_cost_usd(provider) for provider in asked]
    cost = "an unknown cost" if None in costs else f"at most {dollars(sum(c for c in costs if c is not None))}"
    waking = [provider.name for provider in asked if provider.cold_start]
    wakes = f"; wakes {', '.join(waking)}" if waking else ""
    noun = "inference" if count == 1 else "inferences"
    return f"Probing: {count} {noun} of at most {PROBE_TOKENS} tokens each, {cost}{wakes}"


def document(subjects: Sequence[Subject], code: ExitCode) -> dict[str, Any]:
    """As one JSON document."""
    checks = [check for subject in subjects for check in subject.checks]
    return {
        "counts": {level.value: sum(check.level is level for check in checks) for level in Level},
        "exit_code": int(code),
        "subjects": [
            {
                "name": subject.name,
                "about": subject.about or None,
                "checks": [
                    {"about": c.about, "level": c.level.value, "sentence": c.sentence, "todo": c.todo}
                    for c in subject.checks
                ],
            }
            for subject in subjects
        ],
    }


def _print(subjects: Sequence[Subject]) -> None:
    out = console()
    for subject in subjects:
        title = Text(visible(subject.name), style="bold")
        out.print(title.append(f"  {visible(subject.about)}", style="dim"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for check in subject.checks:
            said = Text(visible(check.sentence, keep_lines=True))
            if check.todo:
                said.append(f"\nto do: {visible(check.todo)}", style="bold")
            level = Text(f"  {check.level.value}", style=_COLOURS[check.level])
            table.add_row(level, Text(visible(check.about)), said)
        out.print(table)
    checks = [check for subject in subjects for check in subject.checks]
    errors, warnings = (sum(c.level is level for c in checks) for level in (Level.ERROR, Level.WARNING))
    out.print(f"\n{_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
