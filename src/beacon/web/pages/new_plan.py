"""What a job that is being chosen would ask, take, cost and show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from beacon.analysis.power import PowerPlan, power_plan, smallest_effect
from beacon.domain.estimate import Estimate, estimate
from beacon.domain.fleet import Fleet
from beacon.domain.spec import JobSpec, SpecDocument, check_against_fleet
from beacon.errors import DocumentError, InputError
from beacon.runner.inputs import complete
from beacon.store import history
from beacon.web.pages.new_form import SOURCE
from beacon.web.portal import Portal
from beacon.web.providers import ProviderSnapshot

BASE_RATE = 0.1
REPEATS = (3, 5, 10, 20, 50)
"""For comparison with what was chosen."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """With so many repeats: the smallest difference of shares that is found, None where none is."""

    repeats: int
    executions: int
    effect: float | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Plan:
    spec: JobSpec
    estimate: Estimate
    power: PowerPlan
    alternatives: tuple[Alternative, ...]

    @property
    def effect(self) -> float | None:
        return next((a.effect for a in self.alternatives if a.chosen), None)

    @property
    def cells(self) -> int:
        return self.spec.total // self.spec.repeats


async def plan_of(portal: Portal, document: SpecDocument) -> Plan:
    """Raises DocumentError where the document or the fleet does not allow it."""
    fleet = portal.fleet
    paces = await portal.database.read(history.paces, [provider.name for provider in fleet.providers])
    return await asyncio.to_thread(_plan, document, fleet, {cell: pace.mean_s for cell, pace in paces.items()})


def _plan(document: SpecDocument, fleet: Fleet, pace_s: Mapping[tuple[str, str], float]) -> Plan:
    spec = _checked(document, fleet)
    power = power_plan(spec)
    several = sorted({*REPEATS, spec.repeats})
    asked = power.design.repeats // spec.repeats
    alternatives = tuple(
        Alternative(
            repeats,
            spec.total // spec.repeats * repeats,
            smallest_effect(replace(power.design, repeats=repeats * asked), BASE_RATE) if power.comparisons else None,
            repeats == spec.repeats,
        )
        for repeats in several
    )
    return Plan(spec, estimate(spec, fleet, pace_s), power, alternatives)


def _checked(document: SpecDocument, fleet: Fleet) -> JobSpec:
    """The spec, where the fleet serves it; the faults of both are told together."""
    faults: list[InputError] = []
    spec: JobSpec | None = None
    for check in (lambda: complete(document, SOURCE), lambda: check_against_fleet(document, fleet, SOURCE)):
        try:
            spec = check() or spec
        except DocumentError as error:
            faults += error.faults
    if faults or spec is None:
        raise DocumentError(SOURCE, faults)
    return spec


@dataclass(frozen=True, slots=True)
class Served:
    """What serves one (model, region) now: how many providers, and the best state, None where nobody knows."""

    providers: int
    state: str | None
    note: str | None


_BEST = ("warm", "unknown", "warming", "cold", "paused", "ejected")


def served(fleet: Fleet, snapshots: Sequence[ProviderSnapshot], model: str, region: str) -> Served:
    names = {provider.name for provider in fleet.serving(model, region)}
    here = [snapshot for snapshot in snapshots if snapshot.name in names]
    states = sorted((str(snapshot.state) for snapshot in here), key=_BEST.index)
    slowest = max((p.cold_start for p in fleet.providers if p.name in names), default=0.0)
    best = states[0] if states else None
    blocked = next((s.blocked_why for s in here if s.blocked_why), None)
    starting = f"starts in about {slowest:.0f} s" if slowest and best in ("cold", "warming") else None
    return Served(len(names), best, blocked if best == "ejected" else starting)
