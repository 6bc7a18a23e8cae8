"""A provider as the router holds it: what was configured, and what is known of it now."""

from __future__ import annotations

from dataclasses import dataclass

from beacon.domain.answer import Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import Failure
from beacon.domain.fleet import Provider
from beacon.router.failures import seconds
from beacon.router.health import Health, ProviderState
from beacon.router.limits import Slots
from beacon.router.transports.base import Call, Transport


@dataclass(frozen=True, slots=True)
class ProviderSnapshot:
    """One provider at one moment, for pages and progress lines.

    `blocked_until` is in seconds since the epoch; `last_failure` is the sentence of the latest one.
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


@dataclass(slots=True)
class Lane:
    provider: Provider
    transport: Transport
    slots: Slots
    health: Health
    clock: Clock

    async def infer(self, call: Call) -> Outcome:
        """One call over this lane, from which its health and its limits learn."""
        self.health.begin(self.clock.monotonic())
        try:
            outcome = await self.transport.infer(call)
        finally:
            self.health.end(self.clock.monotonic())
        self.health.learn(outcome, self.clock.monotonic())
        if isinstance(outcome, Failure) and outcome.retry_after_s:
            why = f"answered {outcome.http_status} with Retry-After {seconds(1000 * outcome.retry_after_s)}"
            self.slots.block(outcome.retry_after_s, why)
        return outcome

    def snapshot(self) -> ProviderSnapshot:
        now = self.clock.monotonic()
        until = self.slots.blocked_until
        return ProviderSnapshot(
            name=self.provider.name,
            region=self.provider.region,
            models=tuple(self.provider.models),
            state=self.health.state(now),
            in_flight=self.slots.in_flight,
            limit=self.slots.limit,
            waiting=self.slots.waiting,
            blocked_until=None if until is None else self.clock.wall() + until - now,
            blocked_why=self.slots.blocked_why,
            last_failure=self.health.last_failure,
        )
