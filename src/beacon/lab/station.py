"""What a simulated model does before it answers: sleep, wake, and turn requests away."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beacon.domain.clock import Clock
from beacon.lab.world import ColdStart, Limit


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """`retry_after` is in whole seconds, as HTTP has it, or None where the provider does not say."""

    status: int
    message: str
    retry_after: int | None


class Station:
    """The state of one model at one provider: its rate, its concurrency, and whether it is warm."""

    def __init__(self, limit: Limit | None, cold_start: ColdStart | None, clock: Clock) -> None:
        self._limit = limit
        self._cold_start = cold_start
        self._clock = clock
        self.in_flight = 0
        self._tokens = float(_burst(limit))
        self._filled_at = clock.monotonic()
        self._warm_from: float | None = None
        self._used_at = clock.monotonic()

    def enter(self) -> float | TurnedAway:
        """Seconds that the request has to wait for the warm-up; call `leave` when it is over."""
        now = self._clock.monotonic()
        turned = self._over_limit(now)
        if turned is not None:
            return turned
        wait = self.wake()
        if isinstance(wait, TurnedAway):
            return wait
        self.in_flight += 1
        self._tokens -= 1
        return wait

    def wake(self) -> float | TurnedAway:
        """Seconds until the model is warm; begins its start where it sleeps. As a container, it wakes for anything."""
        wait = self._warm_up(self._clock.monotonic())
        if wait > 0 and self._cold_start is not None and self._cold_start.meanwhile == "503":
            return TurnedAway(503, "the model is loading (cold start)", math.ceil(wait))
        return wait

    def leave(self) -> None:
        self.in_flight -= 1
        self._used_at = self._clock.monotonic()

    def _over_limit(self, now: float) -> TurnedAway | None:
        limit = self._limit
        if limit is None:
            return None
        if limit.concurrency is not None and self.in_flight >= limit.concurrency:
            message = f"more than {limit.concurrency} requests at once"
            return TurnedAway(429, message, 1 if limit.retry_after else None)
        rate = limit.requests_per_second
        if rate is None:
            return None
        self._tokens = min(float(_burst(limit)), self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens >= 1:
            return None
        after = math.ceil((1 - self._tokens) / rate) if limit.retry_after else None
        return TurnedAway(429, f"more than {rate:g} requests per second", after)

    def _warm_up(self, now: float) -> float:
        """Seconds until the model is warm; a request to a sleeping model starts waking it."""
        cold = self._cold_start
        if cold is None:
            return 0.0
        idle = now - max(self._used_at, self._warm_from or 0.0)
        fell_asleep = cold.idle is not None and self.in_flight == 0 and idle > cold.idle
        if self._warm_from is None or fell_asleep:
            self._warm_from = now + cold.seconds
        return max(0.0, self._warm_from - now)


def _burst(limit: Limit | None) -> int:
    if limit is None or limit.requests_per_second is None:
        return 0
    return limit.burst or max(1, math.ceil(limit.requests_per_second))
