"""A provider's health, learnt from real traffic alone. Nothing here ever sends a request."""

from __future__ import annotations

from enum import StrEnum

from beacon.domain.answer import Answer, Outcome

KNOWN_WARM_S = 60.0
"""How long a success proves an idle provider warm. By default serverless platforms stop idle containers after
a minute at the earliest; from then on nothing is known. It is no time-out: it ends no request."""


class ProviderState(StrEnum):
    UNKNOWN = "unknown"
    COLD = "cold"
    WARMING = "warming"
    WARM = "warm"
    EJECTED = "ejected"
    PAUSED = "paused"


class Health:
    """Passive state of one provider. Times are seconds of the monotonic clock.

    unknown -> warm by a success; unknown or cold -> warming by a 503 of a provider that has a `cold_start`,
    because the request that got it wakes the provider; warming -> cold when its cold start took longer than
    expected; warm -> unknown when it was idle for `KNOWN_WARM_S`.
    """

    __slots__ = ("_active", "_cold_start_s", "_idle_since", "_warm", "_warming_since", "last_failure")

    def __init__(self, cold_start_s: float) -> None:
        self._cold_start_s = cold_start_s
        self._warm = False
        self._warming_since: float | None = None
        self._active = 0
        self._idle_since = 0.0
        self.last_failure: str | None = None

    def state(self, now: float) -> ProviderState:
        if self._warm and not self._idled(now):
            return ProviderState.WARM
        if self._warming_since is None:
            return ProviderState.UNKNOWN
        return ProviderState.WARMING if now - self._warming_since <= self._cold_start_s else ProviderState.COLD

    def may_be_cold(self, now: float) -> bool:
        """Whether a request now may have to wait for a cold start."""
        return self._cold_start_s > 0 and self.state(now) is not ProviderState.WARM

    def begin(self, now: float) -> None:
        """A request goes out."""
        if self._idled(now):
            self._warm = False
        self._active += 1

    def end(self, now: float) -> None:
        """That request is over, however it ended."""
        self._active -= 1
        self._idle_since = now

    def learn(self, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Answer):
            self._warm = True
            self._warming_since = None
            return
        self.last_failure = outcome.message
        if outcome.http_status == 503 and self._cold_start_s > 0:
            self._warm = False
            if self.state(now) is not ProviderState.WARMING:
                self._warming_since = now

    def _idled(self, now: float) -> bool:
        return self._active == 0 and now - self._idle_since > KNOWN_WARM_S
