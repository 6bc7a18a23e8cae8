"""A provider as the router holds it: what was configured, and what is known of it now."""

from __future__ import annotations

from dataclasses import dataclass, field

from beacon.domain.answer import Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import Failure
from beacon.domain.fleet import Provider
from beacon.router.failures import seconds
from beacon.router.health import Health, ProviderState
from beacon.router.limits import Slots
from beacon.router.redaction import without_key
from beacon.router.transports.base import Call, Transport


@dataclass(frozen=True, slots=True)
class ProviderSnapshot:
    """One provider at one moment, for pages and progress lines.

    `blocked_until` and `start_expected_at`, where it is starting, are in seconds since the epoch; `last_failure` is
    the sentence of the latest one.
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


@dataclass(slots=True)
class Lane:
    provider: Provider
    transport: Transport
    slots: Slots
    health: Health
    clock: Clock
    key: str | None = field(default=None, repr=False)

    async def infer(self, call: Call) -> Outcome:
        """One call over this lane, from which its health and its limits learn."""
        self.health.begin(self.clock.monotonic())
        try:
            outcome = without_key(await self.transport.infer(call), self.key)
        finally:
            self.health.end(self.clock.monotonic())
        self.health.learn(outcome, self.clock.monotonic())
        if isinstance(outcome, Failure):
            self._pause(outcome)
        self.follow_start()
        return outcome

    def follow_start(self) -> None:
        """What is known of its start now decides how much it gets at once."""
        self.slots.set_ceiling(self.health.at_once())

    def _pause(self, failure: Failure) -> None:
        if failure.retry_after_s:
            why = f"answered {failure.http_status} with Retry-After {seconds(1000 * failure.retry_after_s)}"
            self.slots.block(failure.retry_after_s, why)
        elif failure.retry_after_s is None and failure.http_status == 503 and self.health.at_once() is not None:
            self.slots.block(self.health.probe_pause_s, "is starting")

    def snapshot(self) -> ProviderSnapshot:
        now = self.clock.monotonic()
        until, expected = self.slots.blocked_until, self.health.expected_at
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
            start_expected_at=None if expected is None else self.clock.wall() + expected - now,
        )
