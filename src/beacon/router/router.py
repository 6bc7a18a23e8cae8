"""The router as a library: a slot at a provider of exactly one (model, region), and one call over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from beacon.domain.answer import Inference, Outcome
from beacon.domain.clock import Clock, SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, Stage
from beacon.domain.fleet import Fleet, Provider
from beacon.domain.names import suggest
from beacon.errors import DocumentError, InputError
from beacon.router import failures, warming
from beacon.router.credentials import read_key, secret_of
from beacon.router.health import Health, ProviderState
from beacon.router.lane import Lane, ProviderSnapshot
from beacon.router.limits import Slots, wait_for_slot
from beacon.router.redaction import without_key
from beacon.router.selection import choose
from beacon.router.transports.agent import AgentTransport
from beacon.router.transports.base import Call, KeepsByReference, KeepsResults, Report, Transport, nobody_notes
from beacon.router.transports.control import Looked, Looks
from beacon.router.transports.modal import ModalTransport
from beacon.router.transports.modal_function import ModalFunctionTransport
from beacon.router.transports.openai import OpenAITransport
from beacon.router.transports.replay import Recordings, ReplayTransport


class Router:
    """Providers by cell, with their limits and health; open it with `async with`.

    `base` is the directory of the fleet file, where relative replay and key files are looked up. All that
    can be wrong with them is found here: raises DocumentError with a fault for each provider that cannot be
    used.
    """

    def __init__(self, fleet: Fleet, *, base: Path, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        self.fleet = fleet
        self._clock: Clock = clock or SystemClock()
        self._recordings = Recordings(base)
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._lanes = self._build_lanes(fleet, base, environ)
        self._by_name = {lane.provider.name: lane for lane in self._lanes}
        self._cells: dict[tuple[str, str], list[Lane]] = {}
        for lane in self._lanes:
            for model in lane.provider.models:
                self._cells.setdefault((model, lane.provider.region), []).append(lane)

    def _build_lanes(self, fleet: Fleet, base: Path, environ: Mapping[str, str]) -> list[Lane]:
        lanes: list[Lane] = []
        faults: list[InputError] = []
        for provider in fleet.providers:
            try:
                key = read_key(provider, base, environ)
                transport = self._build_transport(provider, key)
            except InputError as fault:
                faults.append(fault)
                continue
            slots = Slots(provider.concurrency, self._clock)
            secret = secret_of(provider, key)
            lanes.append(Lane(provider, transport, slots, Health(provider.cold_start), self._clock, secret))
        if faults:
            raise DocumentError("the fleet", faults)
        return lanes

    def _build_transport(self, provider: Provider, key: str | None) -> Transport:
        match provider.transport:
            case "openai":
                return OpenAITransport(provider, key, self._clock)
            case "agent":
                return AgentTransport(provider, key, self._clock)
            case "modal" if provider.function is not None:
                return ModalFunctionTransport(provider, key, self._clock)
            case "modal":
                return ModalTransport(provider, key, self._clock)
            case "replay":
                return ReplayTransport(provider, self._recordings, self._clock)

    async def __aenter__(self) -> Router:
        for lane in self._lanes:
            await lane.transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._keeping.values():
            task.cancel()
        await asyncio.gather(*self._keeping.values(), return_exceptions=True)
        for lane in self._lanes:
            lane.slots.close()
            await lane.transport.close()

    async def prewarm(self, cells: Iterable[tuple[str, str]]) -> None:
        """Wakes the providers of these (model, region) that can be cold and whose `keep_warm` asks for it.

        No inference is sent to them meanwhile, by anybody; each is open as soon as it is there. Returns when the
        last one is, or when it took longer than expected. Cancelling it leaves the rest to real requests.
        """
        needed = {lane.provider.name: lane for cell in cells for lane in self._cells.get(cell, ())}
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
        earlier = self._keeping.get(lane.provider.name)
        if earlier is not None:
            earlier.cancel()
        self._keeping[lane.provider.name] = asyncio.create_task(warming.keep(lane))

    async def place(self, model: str, region: str, *, avoid: frozenset[str] = frozenset()) -> Placement:
        """Waits, first come first served, for a slot at a provider of exactly this model and region.

        Providers named in `avoid` are left out if the cell has another. Raises InputError if no provider
        serves the cell; a provider of another model or region is never taken instead.
        """
        lanes = self._cell(model, region)
        if avoid:
            lanes = [lane for lane in lanes if lane.provider.name not in avoid] or lanes
        lane = choose(lanes)
        if lane is not None:
            lane.slots.take()
            return Placement(lane, model, 0.0)
        since = self._clock.monotonic()
        starting = all(lane.slots.ceiling is not None for lane in lanes)
        slots = await wait_for_slot([lane.slots for lane in lanes])
        lane = next(lane for lane in lanes if lane.slots is slots)
        waited_ms = 1000 * (self._clock.monotonic() - since)
        return Placement(lane, model, waited_ms, Stage.COLD_START if starting else Stage.ROUTE)

    async def look(self, provider_name: str, within_s: float) -> Looked | None:
        """What the provider says of itself to a control call, which may wake it; None where it takes none."""
        transport = self._by_name[provider_name].transport
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
        names = {lane.provider.name for lane in self._cells.get((inference.model, inference.region), ())}
        if keeper is None or provider_name is None or provider_name not in names:
            return None
        found = await keeper.fetch(Call(inference, deadline, may_be_cold=False, reference=reference))
        return None if found is None else without_key(found, self._by_name[provider_name].key)

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
        lane = self._by_name.get(provider_name or "")
        if lane is None:
            return None
        if isinstance(lane.transport, KeepsResults):
            return lane.transport
        if isinstance(lane.transport, KeepsByReference) and reference is not None:
            return lane.transport
        return None

    def expired_while_waiting(self, model: str, region: str, waited_ms: float) -> Failure:
        """The failure of an execution whose deadline passed before `place` had a slot for it."""
        lanes = self._cell(model, region)
        now = self._clock.monotonic()
        states = "; ".join(_why_waiting(lane.snapshot()) for lane in lanes)
        names = ", ".join(lane.provider.name for lane in lanes)
        where = failures.Where(names, Stage.ROUTE, {Stage.ROUTE.value: waited_ms})
        starting = all(lane.health.may_be_cold(now) for lane in lanes)
        return failures.expired(where, f"router, waiting for a slot: {states}", starting=starting)

    def snapshot(self) -> list[ProviderSnapshot]:
        """Every provider as it is now, in the order of the fleet."""
        return [lane.snapshot() for lane in self._lanes]

    def _cell(self, model: str, region: str) -> Sequence[Lane]:
        lanes = self._cells.get((model, region))
        if lanes:
            return lanes
        here = sorted({m for m, r in self._cells if r == region})
        there = sorted({r for m, r in self._cells if m == model})
        if there:
            todo = f"{model} is served in: {', '.join(there)}; {region} serves: {', '.join(here) or 'nothing'}"
        else:
            todo = suggest(model, {m for m, _ in self._cells})
        raise InputError(f"no provider serves model {model!r} in region {region!r}", where="the fleet", todo=todo)


class Placement:
    """One slot at one provider, for one inference. Release it exactly once; a second release does nothing.

    `waited_ms` is how long the slot was waited for, `waited_in` the stage of which that is a part: `cold_start` where
    every provider of the cell was starting.
    """

    __slots__ = ("_lane", "_model", "_released", "_sent", "waited_in", "waited_ms")

    def __init__(self, lane: Lane, model: str, waited_ms: float, waited_in: Stage = Stage.ROUTE) -> None:
        self._lane = lane
        self._model = model
        self._sent = False
        self._released = False
        self.waited_ms = waited_ms
        self.waited_in = waited_in

    @property
    def provider(self) -> Provider:
        return self._lane.provider

    @property
    def cold_start_s(self) -> float:
        """Seconds to add to an execution's deadline: the cold start, unless it is known to be warm."""
        may_be_cold = self._lane.health.may_be_cold(self._lane.clock.monotonic())
        return self.provider.cold_start if may_be_cold else 0.0

    async def send(self, inference: Inference, deadline: Deadline, report: Report = nobody_notes) -> Outcome:
        """Asks the provider once. Never raises for what a provider or a network does.

        `report` is told the provider's own reference to the inference, where it has one; what it raises is raised.
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
        return await lane.infer(Call(inference, deadline, may_be_cold, stages, report=report))

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._lane.slots.give_back()

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
