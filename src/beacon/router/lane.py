"""A provider as the router holds it: what was configured, and what is known of it now."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from beacon.domain.answer import Answer, Inference, Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import Failure, FailureKind
from beacon.domain.fleet import Provider
from beacon.router.changes import Changes
from beacon.router.closing import Closing
from beacon.router.ejection import Ejection, speaks_of_provider
from beacon.router.failures import quoted, seconds
from beacon.router.health import Health, ProviderState
from beacon.router.latency import PeakEwma
from beacon.router.limits import AdaptiveLimit, LimitChange
from beacon.router.redaction import without_key
from beacon.router.slots import Slots
from beacon.router.transports.base import Call, Transport
from beacon.router.wire import Wire

_START, _PAUSE, _EJECTION, _ORDER = "start", "pause", "ejection", "order"
_OVERLOAD = frozenset({429, 503, 529})
SLOW = 2.0
"""A time-out is held against a provider that had so many times the time that its answers take."""


@dataclass(frozen=True, slots=True)
class ProviderSnapshot:
    """One provider at one moment, for pages and progress lines.

    `blocked_until` and `start_expected_at`, where it is starting, are in seconds since the epoch. `blocked_why` says
    why it takes no new work: its Retry-After, an ejection, or a pause, of which nobody knows the end. `limit` is what
    it may have in flight now, `ceiling` what the fleet allows; `last_failure` is the sentence of the latest one.
    """

    name: str
    region: str
    models: tuple[str, ...]
    state: ProviderState
    in_flight: int
    limit: int
    waiting: int
    blocked_until: float | None
    blocked_why: str | None
    last_failure: str | None
    start_expected_at: float | None = None
    ceiling: int = 0


class Lane:
    """One provider: its wire, which a reload may replace, and what is known of it, which stays.

    `may_eject` says whether its cells can do without it.
    """

    def __init__(
        self, wire: Wire, clock: Clock, changes: Changes, rng: random.Random, may_eject: Callable[[Lane], bool]
    ) -> None:
        provider = wire.provider
        self.wire = wire
        self.clock = clock
        self.slots = Slots(provider.concurrency, clock)
        self.health = Health(provider.cold_start)
        self.limit = AdaptiveLimit(provider.concurrency, min(provider.min_concurrency, provider.concurrency))
        self.ejection = Ejection(rng)
        self.closing = Closing()
        self.paused: str | None = None
        self.ordered: int | None = None
        self.removed = False
        self._latencies: dict[str, PeakEwma] = {}
        self._changes = changes
        self._may_eject = may_eject
        self._trial: asyncio.TimerHandle | None = None

    @property
    def provider(self) -> Provider:
        return self.wire.provider

    @property
    def transport(self) -> Transport:
        return self.wire.transport

    @property
    def key(self) -> str | None:
        return self.wire.key

    def expected_s(self, model: str, now: float) -> float | None:
        """How long an answer of this model takes here now; None where none has come yet."""
        latency = self._latencies.get(model)
        return None if latency is None else latency.at(now)

    async def infer(self, call: Call, wire: Wire) -> Outcome:
        """One call over this lane, from which its health, its limit and its place in the cell learn."""
        sent_at, at_once = self.clock.monotonic(), self.slots.in_flight
        self.health.begin(sent_at)
        try:
            outcome = without_key(await wire.transport.infer(call), wire.key)
        finally:
            now = self.clock.monotonic()
            self.health.end(now)
        self.health.learn(outcome, now)
        if isinstance(outcome, Answer):
            self._answered(call.inference, sent_at, now)
        else:
            self._failed(call.inference, outcome, at_once, sent_at, now)
        self.follow_start()
        return outcome

    def follow_start(self) -> None:
        """What is known of its start now decides how much it gets at once."""
        at_once = self.health.at_once()
        if at_once is not None or self.slots.capped(_START):
            self.slots.cap(_START, at_once)

    @property
    def starting(self) -> bool:
        """Whether its start limits what it gets."""
        return self.slots.capped(_START)

    def pause(self, why: str) -> None:
        """Takes no new work until `resume`; what is under way is let finish."""
        if self.paused is None:
            self._changes.note(self.provider.name, "paused", "takes no new work", why)
        self.paused = why
        self.slots.cap(_PAUSE, 0)

    def resume(self, why: str) -> None:
        if self.paused is not None:
            self.paused = None
            self._changes.note(self.provider.name, "resumed", "takes new work again", why)
            self.slots.cap(_PAUSE, None)

    def limit_to(self, order: tuple[int, str] | None) -> None:
        """At most so many at once, with the reason; None for no more than its own limit."""
        at_most, why = order or (None, "an operator said so")
        if at_most == self.ordered:
            return
        self.ordered = at_most
        told = "is limited no more" if at_most is None else f"may have {at_most} requests under way at most"
        self._changes.note(self.provider.name, "limit", told, why)
        self.slots.cap(_ORDER, at_most)

    def follow_fleet(self, wire: Wire) -> None:
        """Another wire, and the bounds that come with it, from now on."""
        self.wire = wire
        provider = wire.provider
        self.health.cold_start_s = provider.cold_start
        floor = min(provider.min_concurrency, provider.concurrency)
        self._follow_limit(self.limit.bound(provider.concurrency, floor))

    def remove(self) -> None:
        """It is in the fleet no more: it takes no new work, and what is under way is let finish."""
        self.removed = True
        self.slots.cap(_PAUSE, 0)
        self.close()

    def close(self) -> None:
        """No timer of it runs any more."""
        self.slots.close()
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None

    def try_again(self) -> None:
        """The ejection is over: one request at a time may try it."""
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None
        self.ejection.try_again(self.clock.monotonic())
        self._changes.note(self.provider.name, "on_trial", "is tried again", self.ejection.why or "its time is over")
        self.slots.cap(_EJECTION, 1)

    def _answered(self, inference: Inference, sent_at: float, now: float) -> None:
        self._latency_of(inference.model).observe(now - sent_at, now)
        self.closing.answered()
        if self.ejection.answered(sent_at, now):
            self._changes.note(self.provider.name, "returned", "is back", "it answered on trial")
            self.slots.cap(_EJECTION, None)
        self._follow_limit(self.limit.answered(now, full=self.slots.in_flight >= self.limit.limit))

    def _failed(self, inference: Inference, failure: Failure, at_once: int, sent_at: float, now: float) -> None:
        if failure.retry_after_s:
            why = f"answered {failure.http_status} with Retry-After {seconds(1000 * failure.retry_after_s)}"
            obeyed_s = self.closing.obey(failure.retry_after_s, sent_at, now)
            if obeyed_s < failure.retry_after_s:
                why += f", and is tried again after {obeyed_s:g} s"
            self.slots.block(obeyed_s, why)
        elif failure.retry_after_s is None and failure.http_status == 503 and self.health.at_once() is not None:
            self.slots.block(self.health.probe_pause_s, "is starting")
        if failure.http_status in _OVERLOAD and failure.counts:
            why = f"it answered HTTP {failure.http_status} with {at_once} under way"
            self._follow_limit(self.limit.refused(at_once, sent_at, now, why))
        if self._held_against_it(inference, failure, sent_at, now):
            self._hold_against_it(inference, failure, sent_at, now)

    def _held_against_it(self, inference: Inference, failure: Failure, sent_at: float, now: float) -> bool:
        if not speaks_of_provider(failure):
            return False
        usual = self.expected_s(inference.model, now)
        timed_out = failure.kind is FailureKind.DEADLINE_EXPIRED
        return not timed_out or usual is None or now - sent_at >= SLOW * usual

    def _hold_against_it(self, inference: Inference, failure: Failure, sent_at: float, now: float) -> None:
        latency = self._latency_of(inference.model)
        # A failure that comes quickly must not make a provider look quick.
        latency.observe(max(now - sent_at, 2.0 * (latency.at(now) or 0.0)), now)
        request = (inference.question_id, inference.language, inference.repeat, inference.messages)
        why = self.ejection.failed(request, sent_at, now)
        if why is None or not (self.ejection.on_trial or self._may_eject(self)):
            return
        lasts = self.ejection.eject(why, now)
        told = f"{why}, the last: {quoted(failure.message)}"
        self._changes.note(self.provider.name, "ejected", f"is ejected for {lasts:.0f} s", told)
        self.slots.cap(_EJECTION, 0)
        self._trial = asyncio.get_running_loop().call_later(lasts, self.try_again)

    def _latency_of(self, model: str) -> PeakEwma:
        return self._latencies.setdefault(model, PeakEwma())

    def _follow_limit(self, change: LimitChange | None) -> None:
        if change is not None:
            what = f"may have {change.after} requests under way, after {change.before}"
            self._changes.note(self.provider.name, "limit", what, change.why)
            self.slots.set_limit(change.after)

    def closed(self) -> str | None:
        """What it asks for where it asked anew for more than is waited for, and takes no work meanwhile."""
        return self.slots.blocked_why if self.closing.closed(self.clock.monotonic()) else None

    def snapshot(self) -> ProviderSnapshot:
        now = self.clock.monotonic()
        until, why = self._blocked()
        expected = self.health.expected_at
        return ProviderSnapshot(
            name=self.provider.name,
            region=self.provider.region,
            models=tuple(self.provider.models),
            state=self._state(now),
            in_flight=self.slots.in_flight,
            limit=self.slots.limit if self.ordered is None else min(self.slots.limit, self.ordered),
            waiting=self.slots.waiting,
            blocked_until=None if until is None else self.clock.wall() + until - now,
            blocked_why=why,
            last_failure=self.health.last_failure,
            start_expected_at=None if expected is None else self.clock.wall() + expected - now,
            ceiling=self.limit.ceiling,
        )

    def _state(self, now: float) -> ProviderState:
        if self.paused is not None:
            return ProviderState.PAUSED
        return ProviderState.EJECTED if self.ejection.out else self.health.state(now)

    def _blocked(self) -> tuple[float | None, str | None]:
        """Until when (monotonic) and why it takes no new work."""
        if self.paused is not None:
            return None, f"is paused: {self.paused}"
        if self.ejection.until is not None:
            return self.ejection.until, f"is ejected after {self.ejection.why}"
        return self.slots.blocked_until, self.slots.blocked_why
