"""The providers of a fleet as lanes, by name and by cell, and how they follow a fleet that is reloaded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet, Provider
from beacon.domain.names import suggest
from beacon.errors import DocumentError, InputError
from beacon.router.changes import Changes
from beacon.router.credentials import read_key, secret_of
from beacon.router.ejection import most_ejected
from beacon.router.lane import Lane
from beacon.router.slots import Slots
from beacon.router.transports.agent import AgentTransport
from beacon.router.transports.base import Transport
from beacon.router.transports.gateway import GatewayTransport
from beacon.router.transports.modal import ModalTransport
from beacon.router.transports.modal_function import ModalFunctionTransport
from beacon.router.transports.openai import OpenAITransport
from beacon.router.transports.replay import Recordings, ReplayTransport
from beacon.router.wire import Wire

Cell = tuple[str, str]


class Registry:
    """`cells` are (model, region); one that was served once stays known, with no lane, when its last provider goes."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, rng: random.Random) -> None:
        self.changes = Changes(clock)
        self.lanes: dict[str, Lane] = {}
        self.cells: dict[Cell, list[Lane]] = {}
        self._by_slots: dict[Slots, Lane] = {}
        self._environ = environ
        self._clock = clock
        self._rng = rng

    def wires(self, fleet: Fleet, base: Path) -> list[Wire]:
        """How to speak to each of the fleet's providers; what need not change is kept as it is.

        Relative paths start at `base`. Raises DocumentError with a fault for each provider that cannot be used;
        nothing has changed then.
        """
        recordings = Recordings(base)
        wires: list[Wire] = []
        faults: list[InputError] = []
        for provider in fleet.providers:
            try:
                key = read_key(provider, base, self._environ)
                secret = secret_of(provider, key)
                known = self.lanes.get(provider.name)
                if known is not None and (known.provider, known.key) == (provider, secret):
                    wires.append(known.wire)
                else:
                    wires.append(Wire(provider, _transport(provider, key, recordings, self._clock), secret))
            except InputError as fault:
                faults.append(fault)
        if faults:
            raise DocumentError("the fleet", faults)
        return wires

    def follow(self, wires: Sequence[Wire]) -> tuple[list[Lane], list[Wire]]:
        """From now on these are the providers; returns the lanes that are gone, and the wires that are."""
        before = self.lanes
        had = {lane.wire for lane in before.values()}
        self.lanes = {wire.provider.name: self._lane(wire, before.get(wire.provider.name)) for wire in wires}
        gone = [lane for name, lane in before.items() if self.lanes.get(name) is not lane]
        for lanes in self.cells.values():
            lanes.clear()
        for lane in self.lanes.values():
            for model in lane.provider.models:
                self.cells.setdefault((model, lane.provider.region), []).append(lane)
        for lane in gone:
            lane.remove()
            del self._by_slots[lane.slots]
        return gone, [wire for wire in had if wire not in set(wires)]

    def _lane(self, wire: Wire, known: Lane | None) -> Lane:
        if known is not None and _same_place(known.provider, wire.provider):
            if known.wire is not wire:
                known.follow_fleet(wire)
            return known
        lane = Lane(wire, self._clock, self.changes, self._rng, self.may_eject)
        self._by_slots[lane.slots] = lane
        return lane

    def lane_of(self, slots: Slots) -> Lane | None:
        """None for a provider that is gone."""
        return self._by_slots.get(slots)

    def cell(self, model: str, region: str) -> list[Lane]:
        """Raises InputError for a cell that nobody has served since the start."""
        lanes = self.cells.get((model, region))
        if lanes is not None:
            return lanes
        here = sorted({m for m, r in self.cells if r == region})
        there = sorted({r for m, r in self.cells if m == model})
        if there:
            todo = f"{model} is served in: {', '.join(there)}; {region} serves: {', '.join(here) or 'nothing'}"
        else:
            todo = suggest(model, {m for m, _ in self.cells})
        raise InputError(f"no provider serves model {model!r} in region {region!r}", where="the fleet", todo=todo)

    def named(self, name: str) -> list[Lane]:
        """The provider of that name, or all of the region. Raises InputError where there is neither."""
        if name in self.lanes:
            return [self.lanes[name]]
        lanes = [lane for lane in self.lanes.values() if lane.provider.region == name]
        if lanes:
            return lanes
        regions = {lane.provider.region for lane in self.lanes.values()}
        raise InputError(
            f"no provider and no region is called {name!r}",
            where="the fleet",
            todo=suggest(name, {*self.lanes, *regions}),
        )

    def may_eject(self, lane: Lane) -> bool:
        """Whether each cell of this provider keeps its share of providers without it."""
        for open_lanes in self._open_cells():
            if lane in open_lanes:
                out = sum(other.ejection.out for other in open_lanes if other is not lane)
                if out + 1 > most_ejected(len(open_lanes)):
                    return False
        return True

    def relieve(self) -> None:
        """Where pauses or a reload left a cell with too few providers, the ejected ones are tried again at once."""
        for open_lanes in self._open_cells():
            ejected = [lane for lane in open_lanes if lane.ejection.until is not None]
            ejected.sort(key=lambda lane: lane.ejection.until or 0.0)
            for lane in ejected[: max(0, len(ejected) - most_ejected(len(open_lanes)))]:
                lane.try_again()

    def _open_cells(self) -> Iterator[list[Lane]]:
        for lanes in self.cells.values():
            yield [lane for lane in lanes if lane.paused is None]


def _same_place(before: Provider, now: Provider) -> bool:
    """Whether what was learnt of a provider holds for it as the fleet says it now."""
    fields = ("region", "transport", "url", "function", "file")
    return all(getattr(before, name) == getattr(now, name) for name in fields)


def _transport(provider: Provider, key: str | None, recordings: Recordings, clock: Clock) -> Transport:
    match provider.transport:
        case "openai":
            return OpenAITransport(provider, key, clock)
        case "agent":
            return AgentTransport(provider, key, clock)
        case "gateway":
            return GatewayTransport(provider, key, clock)
        case "modal" if provider.function is not None:
            return ModalFunctionTransport(provider, key, clock)
        case "modal":
            return ModalTransport(provider, key, clock)
        case "replay":
            return ReplayTransport(provider, recordings, clock)
