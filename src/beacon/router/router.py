"""The router as a library: a slot at a provider of exactly one (model, region), and one call over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from beacon.domain.answer import Inference, Outcome
from beacon.domain.clock import Clock, SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, Stage
from beacon.domain.fleet import Fleet, Provider
from beacon.domain.names import suggest
from beacon.errors import InputError
from beacon.router import failures, warming
from beacon.router.changes import Change
from beacon.router.health import ProviderState
from beacon.router.lane import Lane, ProviderSnapshot
from beacon.router.redaction import without_key
from beacon.router.registry import Registry
from beacon.router.selection import choose
from beacon.router.slots import Line
from beacon.router.transports.base import (
    Call,
    ClientRequest,
    KeepsByReference,
    KeepsResults,
    Report,
    Sink,
    nobody_notes,
)
from beacon.router.transports.control import Looked, Looks


class Router:
    """Providers by cell, with their limits and health; open it with `async with`.

    `base` is the directory of the fleet file, where relative replay and key files are looked up. All that
    can be wrong with them is found here: raises DocumentError with a fault for each provider that cannot be
    used. `rng` draws between providers, and spreads ejections.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        base: Path,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.fleet = fleet
        self._base = base
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._registry = Registry(environ, self._clock, self._rng)
        self._registry.follow(self._registry.wires(fleet, base))
        self._lines: dict[tuple[str, str, frozenset[str], str | None], Line] = {}
        self._paused: dict[str, str] = {}
        self._limited: dict[str, tuple[int, str]] = {}
        self._keeping: dict[Lane, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    async def __aenter__(self) -> Router:
        for lane in self._registry.lanes.values():
            await lane.transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._keeping.values(), *self._closing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in tuple(self._lines.values()):
            line.close()
        for lane in self._registry.lanes.values():
            lane.close()
            await lane.transport.close()

    async def reload(self, fleet: Fleet, *, base: Path | None = None) -> None:
        """Follows another version of the fleet, at once.

        A provider that stays at its address keeps what is known of it and what it has under way; one that is gone
        finishes that and takes no more. Who waits goes on waiting, at the providers that the cell has now, also
        where it has none left. Raises DocumentError where a provider cannot be used; nothing has changed then.
        """
        async with self._reloading:
            before = dict(self._registry.lanes)
            base = base or self._base
            wires = self._registry.wires(fleet, base)
            known = {lane.wire for lane in before.values()}
            for wire in wires:
                if wire not in known:
                    await wire.transport.open()
            gone, retired = self._registry.follow(wires)
            self.fleet, self._base = fleet, base
            self._pause_as_asked()
            self._limit_as_asked()
            self._registry.relieve()
            for asked, line in tuple(self._lines.items()):
                line.change(lane.slots for lane in self._candidates(*asked))
            for lane in gone:
                self._stop_keeping(lane)
            for wire in retired:
                closing = asyncio.create_task(wire.close_when_idle())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            self._tell_of_reload(before, {wire.provider.name for wire in wires if wire not in known})

    def _tell_of_reload(self, before: Mapping[str, Lane], new_wires: set[str]) -> None:
        note, now = self._registry.changes.note, self._registry.lanes
        for name in before.keys() - now.keys():
            note(name, "removed", "takes no more work", "it is in the fleet no more")
        for name in now.keys() - before.keys():
            note(name, "added", "takes work", "it is in the fleet now")
        for name in new_wires & before.keys():
            note(name, "changed", "is asked as the fleet says now", "the fleet was reloaded")

    def pause(self, name: str, why: str) -> None:
        """The provider of that name, or all of the region, take no new work until `resume`, a reload or not.

        What is under way there is let finish. Raises InputError for an unknown name.
        """
        self._registry.named(name)
        self._paused[name] = why
        self._pause_as_asked()
        self._registry.relieve()

    def resume(self, name: str) -> None:
        """Undoes `pause` of the same name. Raises InputError for an unknown name."""
        lanes = self._registry.named(name)
        self._paused.pop(name, None)
        for lane in lanes:
            if not self._paused.keys() & {lane.provider.name, lane.provider.region}:
                lane.resume("an operator said so")

    def _pause_as_asked(self) -> None:
        for lane in self._registry.lanes.values():
            why = self._paused.get(lane.provider.name) or self._paused.get(lane.provider.region)
            if why is not None:
                lane.pause(why)

    def limit(self, name: str, at_most: int, why: str) -> None:
        """The provider of that name, or each of the region, has so many requests under way at most until `unlimit`.

        The fleet's `concurrency` and what is learnt from refusals hold beside it.
        Raises InputError for an unknown name.
        """
        self._registry.named(name)
        self._limited[name] = (at_most, why)
        self._limit_as_asked()

    def unlimit(self, name: str) -> None:
        """Undoes `limit` of the same name. Raises InputError for an unknown name."""
        self._registry.named(name)
        self._limited.pop(name, None)
        self._limit_as_asked()

    def _limit_as_asked(self) -> None:
        for lane in self._registry.lanes.values():
            asked = [self._limited.get(name) for name in (lane.provider.name, lane.provider.region)]
            lane.limit_to(min((one for one in asked if one is not None), default=None))

    async def prewarm(self, cells: Iterable[tuple[str, str]]) -> None:
        """Wakes the providers of these (model, region) that can be cold and whose `keep_warm` asks for it.

        No inference is sent to them meanwhile, by anybody; each is open as soon as it is there. Returns when the
        last one is, or when it took longer than expected. Cancelling it leaves the rest to real requests.
        """
        needed = {lane.provider.name: lane for cell in cells for lane in self._registry.cells.get(cell, ())}
        cold = [lane for lane in needed.values() if warming.wants_waking(lane)]
        for lane in cold:
            warming.hold(lane)
        for lane in needed.values():
            self._keep(lane)
        await asyncio.gather(*(warming.wake(lane) for lane in cold))

    def _keep(self, lane: Lane) -> None:
        """Its window begins anew; it lasts for as long as this router is open."""
        if lane.provider.keep_warm != "window" or not lane.provider.cold_start:
            return
        self._stop_keeping(lane)
        self._keeping[lane] = asyncio.create_task(warming.keep(lane))

    def _stop_keeping(self, lane: Lane) -> None:
        earlier = self._keeping.pop(lane, None)
        if earlier is not None:
            earlier.cancel()

    def check(self, model: str, region: str, *, only: str | None = None) -> None:
        """Raises InputError if no provider serves the cell, or the one of that name does not."""
        lanes = self._registry.cell(model, region)
        if only is not None and not self._candidates(model, region, frozenset(), only):
            what = f"provider {only!r} does not serve {model} in {region}"
            raise InputError(what, where="the fleet", todo=suggest(only, [lane.provider.name for lane in lanes]))

    def place_now(
        self, model: str, region: str, *, avoid: frozenset[str] = frozenset(), only: str | None = None
    ) -> Placement | None:
        """A slot at a provider of exactly this model and region, or None where none is free now.

        Providers named in `avoid` are left out if the cell has another; `only` names the one that may serve. Raises
        InputError if no provider serves the cell; a provider of another model or region is never taken instead.
        """
        lanes = self._candidates(model, region, avoid, only)
        choice = choose(lanes, model, self._clock.monotonic(), self._rng)
        if choice is None:
            return None
        choice.lane.slots.take()
        return Placement(choice.lane, model, 0.0, why=choice.why)

    async def place(
        self, model: str, region: str, *, avoid: frozenset[str] = frozenset(), only: str | None = None
    ) -> Placement:
        """Waits, first come first served, for a slot as `place_now` gives it."""
        placement = self.place_now(model, region, avoid=avoid, only=only)
        if placement is not None:
            return placement
        since = self._clock.monotonic()
        lanes = self._candidates(model, region, avoid, only)
        starting = bool(lanes) and all(lane.starting for lane in lanes)
        lane = await self._wait_for_lane(model, region, avoid, only)
        waited_ms = 1000 * (self._clock.monotonic() - since)
        why = None if len(lanes) == 1 else f"the first of {len(lanes)} to have a free slot"
        return Placement(lane, model, waited_ms, Stage.COLD_START if starting else Stage.ROUTE, why=why)

    async def _wait_for_lane(self, model: str, region: str, avoid: frozenset[str], only: str | None) -> Lane:
        """A lane of the cell, with a slot that is taken."""
        while True:
            key = (model, region, avoid, only)
            line = self._lines.get(key)
            if line is None:
                candidates = self._candidates(*key)
                line = self._lines[key] = Line(lane.slots for lane in candidates)
            try:
                slots = await line.wait()
            finally:
                if not line and self._lines.get(key) is line:
                    del self._lines[key]
            lane = self._registry.lane_of(slots)
            if lane is not None and lane in self._registry.cell(model, region):
                return lane
            slots.give_back()  # a reload took it away in the same moment

    async def look(self, provider_name: str, within_s: float) -> Looked | None:
        """What the provider says of itself to a control call, which may wake it; None where it takes none."""
        transport = self._registry.lanes[provider_name].transport
        return await transport.look(within_s) if isinstance(transport, Looks) else None

    def keeps_results(self, provider_name: str | None, reference: str | None = None) -> bool:
        """Whether the answer to an inference can be fetched, by its key or by the provider's `reference` to it.

        False for a provider that is not in the fleet.
        """
        return self._keeper(provider_name, reference) is not None

    async def fetch(
        self, provider_name: str | None, inference: Inference, deadline: Deadline, reference: str | None = None
    ) -> Outcome | None:
        """What became of an inference that was sent to that provider before, without sending it again.

        None where the provider keeps no results, does not serve the inference's cell any more, or does not know
        its key or `reference`.
        """
        keeper = self._keeper(provider_name, reference)
        lanes = self._registry.cells.get((inference.model, inference.region), ())
        lane = next((lane for lane in lanes if lane.provider.name == provider_name), None)
        if keeper is None or lane is None:
            return None
        wire = lane.wire
        wire.hold()
        try:
            found = await keeper.fetch(Call(inference, deadline, may_be_cold=False, reference=reference))
        finally:
            wire.let_go()
        return None if found is None else without_key(found, wire.key)

    async def cancel(
        self, provider_name: str | None, key: str, deadline: Deadline, reference: str | None = None
    ) -> None:
        """Withdraws an inference from a provider that keeps results; elsewhere there is nothing to withdraw."""
        keeper = self._keeper(provider_name, reference)
        if isinstance(keeper, KeepsResults):
            await keeper.cancel(key, deadline)
        elif isinstance(keeper, KeepsByReference) and reference is not None:
            await keeper.withdraw(reference, deadline)

    def _keeper(self, provider_name: str | None, reference: str | None) -> KeepsResults | KeepsByReference | None:
        lane = self._registry.lanes.get(provider_name or "")
        if lane is None:
            return None
        if isinstance(lane.transport, KeepsResults):
            return lane.transport
        if isinstance(lane.transport, KeepsByReference) and reference is not None:
            return lane.transport
        return None

    def expired_while_waiting(self, model: str, region: str, waited_ms: float) -> Failure:
        """The failure of an execution whose deadline passed before `place` had a slot for it."""
        lanes = self._registry.cell(model, region)
        now = self._clock.monotonic()
        states = "; ".join(_why_waiting(lane.snapshot()) for lane in lanes) or "no provider of the fleet serves it now"
        names = ", ".join(lane.provider.name for lane in lanes) or f"{model} in {region}"
        where = failures.Where(names, Stage.ROUTE, {Stage.ROUTE.value: waited_ms})
        starting = bool(lanes) and all(lane.health.may_be_cold(now) for lane in lanes)
        return failures.expired(where, f"router, waiting for a slot: {states}", starting=starting)

    def closed(self, model: str, region: str) -> Failure | None:
        """The failure of what waits for a cell of which every provider asks for more time than it may wait for."""
        lanes = self._registry.cell(model, region)
        told = [(lane.provider.name, why) for lane in lanes if (why := lane.closed()) is not None]
        if not lanes or len(told) < len(lanes):
            return None
        names = ", ".join(name for name, _ in told)
        what = f"is closed ({'; '.join(f'{name} {why}' for name, why in told)}), and so it was when it was tried again"
        return failures.closed(failures.Where(names, Stage.ROUTE, {}), what)

    def snapshot(self) -> list[ProviderSnapshot]:
        """Every provider as it is now, in the order of the fleet."""
        return [lane.snapshot() for lane in self._registry.lanes.values()]

    def changes(self) -> tuple[Change, ...]:
        """What was changed about providers of late, each with its reason, oldest first."""
        return self._registry.changes.kept()

    def _candidates(self, model: str, region: str, avoid: frozenset[str], only: str | None = None) -> Sequence[Lane]:
        lanes = self._registry.cell(model, region)
        if only is not None:
            return [lane for lane in lanes if lane.provider.name == only]
        return ([lane for lane in lanes if lane.provider.name not in avoid] or lanes) if avoid else lanes


class Placement:
    """One slot at one provider, for one inference. Release it exactly once; a second release does nothing.

    `waited_ms` is how long the slot was waited for, `waited_in` the stage of which that is a part: `cold_start` where
    every provider of the cell was starting. `why` continues "chosen as"; None where the cell has one provider.
    """

    __slots__ = ("_lane", "_model", "_released", "_sent", "_wire", "waited_in", "waited_ms", "why")

    def __init__(
        self, lane: Lane, model: str, waited_ms: float, waited_in: Stage = Stage.ROUTE, *, why: str | None = None
    ) -> None:
        self._lane = lane
        self._wire = lane.wire
        self._wire.hold()
        self._model = model
        self._sent = False
        self._released = False
        self.waited_ms = waited_ms
        self.waited_in = waited_in
        self.why = why

    @property
    def provider(self) -> Provider:
        """As the fleet said when the slot was given."""
        return self._wire.provider

    @property
    def cold_start_s(self) -> float:
        """Seconds to add to an execution's deadline: the cold start, unless it is known to be warm."""
        cold_start = self._wire.provider.cold_start
        if cold_start and self._lane.health.may_be_cold(self._lane.clock.monotonic()):
            return cold_start
        return 0.0

    async def send(
        self,
        inference: Inference,
        deadline: Deadline,
        report: Report = nobody_notes,
        *,
        request: ClientRequest | None = None,
        sink: Sink | None = None,
    ) -> Outcome:
        """Asks the provider once. Never raises for what a provider or a network does.

        `report` is told the provider's own reference to the inference, where it has one; what it raises is raised, as
        is what `sink` raises. A client's own `request` takes the place of the inference's messages and sampling.
        Cancelling it aborts the request, but where the provider keeps results: `Router.fetch` finds the answer
        there, `Router.cancel` withdraws it. Raises ValueError for an inference of another cell or a second one.
        """
        self._check(inference)
        self._sent = True
        lane = self._lane
        stages = {self.waited_in.value: self.waited_ms}
        may_be_cold = lane.health.may_be_cold(lane.clock.monotonic())
        if deadline.expired:
            where = failures.Where(lane.provider.name, Stage.ROUTE, stages)
            return failures.expired(where, "router, before the request was sent", starting=False)
        call = Call(inference, deadline, may_be_cold, stages, report=report, request=request, sink=sink)
        return await lane.infer(call, self._wire)

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._lane.slots.give_back()
            self._wire.let_go()

    def _check(self, inference: Inference) -> None:
        cell = (self._model, self.provider.region)
        if (inference.model, inference.region) != cell:
            raise ValueError(f"a slot for {cell} cannot serve {(inference.model, inference.region)}")
        if self._sent or self._released:
            raise ValueError("a slot serves one inference")


def _why_waiting(provider: ProviderSnapshot) -> str:
    if provider.blocked_why is not None:
        return f"{provider.name} {provider.blocked_why}"
    if provider.state in (ProviderState.WARMING, ProviderState.COLD):
        return f"{provider.name} is {provider.state}"
    return f"{provider.name} has {provider.in_flight} of {provider.limit} slots in use"
