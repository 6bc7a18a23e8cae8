"""A provider's health, learnt from real traffic and from control calls that a job needed. Nothing here ever sends a
request."""

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


PROBES = 20
"""Into how many parts an expected cold start is cut: a starting provider that does not say when to come again is
asked once in each."""


class Health:
    """Passive state of one provider. Times are seconds of the monotonic clock.

    unknown -> warm by an answer; unknown or cold -> warming by a 503 of a provider that has a `cold_start`,
    because the request that got it wakes the provider, or by a control call that wakes it for a job; warming -> cold
    when its cold start took longer than expected; warm -> unknown when it was idle for `KNOWN_WARM_S`. A container
    that answers a control call is `awake`: requests may go to it, but only an answer proves its model loaded.
    """

    __slots__ = (
        "_active", "_awake", "_idle_since", "_waking", "_warm", "_warming_since", "cold_start_s",
        "last_failure", "used_at",
    )  # fmt: skip

    def __init__(self, cold_start_s: float) -> None:
        self.cold_start_s = cold_start_s
        self._warm = False
        self._awake = False
        self._waking = False
        self._warming_since: float | None = None
        self._active = 0
        self._idle_since = self.used_at = 0.0
        self.last_failure: str | None = None

    def state(self, now: float) -> ProviderState:
        if self._warm and not self._idled(now):
            return ProviderState.WARM
        if self._warming_since is None:
            return ProviderState.UNKNOWN
        if not self._awake and now - self._warming_since <= self.cold_start_s:
            return ProviderState.WARMING
        if self._idled(now):
            return ProviderState.UNKNOWN
        return ProviderState.WARMING if self._awake else ProviderState.COLD

    def may_be_cold(self, now: float) -> bool:
        """Whether a request now may have to wait for a cold start."""
        return self.cold_start_s > 0 and self.state(now) is not ProviderState.WARM

    @property
    def waking(self) -> bool:
        """Whether a control call is waking it now."""
        return self._waking

    @property
    def probe_pause_s(self) -> float:
        """How long a starting provider is left alone after it said that it is not there yet."""
        return self.cold_start_s / PROBES

    @property
    def expected_at(self) -> float | None:
        """When it should be up, where it is starting."""
        starting = self._warming_since is not None and not self._awake
        return self._warming_since + self.cold_start_s if starting and self._warming_since is not None else None

    def idle_for(self, now: float) -> float:
        """Seconds since it was last asked anything or answered; 0 while it is busy."""
        return 0.0 if self._active else now - self._idle_since

    def at_once(self) -> int | None:
        """How many requests it may have at once while it starts: none while a control call wakes it, then one that
        tries it. None where its start limits nothing."""
        if self._waking:
            return 0
        return 1 if self._warming_since is not None and not self._awake else None

    def begin(self, now: float) -> None:
        """A request goes out."""
        if self._idled(now):
            self._warm = False
        self._active += 1

    def end(self, now: float) -> None:
        """That request is over, however it ended."""
        self._active -= 1
        self._idle_since = self.used_at = now

    def learn(self, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Answer):
            self._warm = True
            self._awake = self._waking = False
            self._warming_since = None
            return
        self.last_failure = outcome.message
        if outcome.http_status == 503 and self.cold_start_s > 0:
            self._warm = self._awake = False
            if self.state(now) is not ProviderState.WARMING:
                self._warming_since = now

    def wake(self, now: float) -> None:
        """A control call begins to wake it."""
        self._waking, self._awake = True, False
        if self.state(now) is not ProviderState.WARMING:
            self._warm = False
            self._warming_since = now

    def woken(self, now: float) -> None:
        """It answered the control call; what was warm until now stays so."""
        if self._idled(now):
            self._warm = False
        self._waking, self._awake = False, not self._warm
        if self._awake and self._warming_since is None:
            self._warming_since = now
        self._idle_since = now

    def not_woken(self, now: float, why: str | None, *, starting: bool) -> None:
        """The control calls ended without its being there; it may be `starting` still, or they told nothing."""
        self._waking = False
        self._idle_since = now
        self.last_failure = why or self.last_failure
        if not starting:
            self._warming_since = None

    def _idled(self, now: float) -> bool:
        return self._active == 0 and now - self._idle_since > KNOWN_WARM_S
