"""How many requests a provider takes at once, learnt from what it refuses: additive increase, multiplicative decrease.

Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks" (1989).
The increase is per second and not per answer, since answers of language models take from a second to minutes; near
what was refused last it waits, so that a provider whose capacity stays is rarely pushed beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

DECREASE = 0.7
"""What is left of the limit after a refusal."""
INCREASES = 16
"""A used limit rises by one in so many of the ceiling a second, and by one at least."""
STEP_S = 1.0
"""Between two increases, at least. It ends no request."""
HOLD_S = 10.0
"""How long after a refusal the limit stays below what was refused. It ends no request."""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """`why` continues "its limit went from 8 to 5"."""

    before: int
    after: int
    why: str


class AdaptiveLimit:
    """Between `floor` and `ceiling`, where it starts. Moments are seconds of the monotonic clock.

    Refusals of requests that were sent before the last decrease say nothing of what holds since: they count once.
    """

    __slots__ = ("_decreased_at", "_raised_at", "_refused", "_value", "ceiling", "floor")

    def __init__(self, ceiling: int, floor: int = 1) -> None:
        self.ceiling = ceiling
        self.floor = floor
        self._value = float(ceiling)
        self._refused: int | None = None
        self._decreased_at = self._raised_at = float("-inf")

    @property
    def limit(self) -> int:
        return int(self._value)

    def bound(self, ceiling: int, floor: int) -> LimitChange | None:
        """Other bounds hold from now on. A limit that stood at its ceiling follows it."""
        before, at_ceiling = self.limit, self._value >= self.ceiling
        self.ceiling, self.floor = ceiling, floor
        self._value = float(ceiling if at_ceiling else min(max(self._value, floor), ceiling))
        return self._changed(before, f"the fleet says {floor} to {ceiling}")

    def refused(self, at_once: int, sent_at: float, now: float, why: str) -> LimitChange | None:
        """The provider has too much to do: it refused a request that made it `at_once` when it was sent."""
        if sent_at <= self._decreased_at:
            return None
        before = self.limit
        # Of many that were sent in one go it refuses the first that is too many first.
        self._refused = min(before, at_once)
        self._value = max(float(self.floor), DECREASE * min(self._value, at_once))
        self._decreased_at = self._raised_at = now
        return self._changed(before, why)

    def answered(self, now: float, *, full: bool) -> LimitChange | None:
        """The provider answered; `full` where it had as much to do as the limit allows."""
        elapsed = now - self._raised_at
        if self._value >= self.ceiling or not full or elapsed < STEP_S:
            return None
        before = self.limit
        step = max(1.0, self.ceiling / INCREASES)
        # Where answers are rare, one stands for the seconds since the last; it doubles the limit at most.
        target = min(float(self.ceiling), self._value + min(step * elapsed, self._value))
        if self._refused is not None:
            target = self._below_refused(target, now)
        self._raised_at = now
        self._value = max(self._value, target)
        return self._changed(before, "it answers all that it is asked")

    def _below_refused(self, target: float, now: float) -> float:
        assert self._refused is not None
        if self.limit >= self._refused:
            self._refused = None  # it took what it had refused
            return target
        held = now - self._decreased_at < HOLD_S
        return min(target, max(self._refused - 1.0, float(self.floor)) if held else float(self._refused))

    def _changed(self, before: int, why: str) -> LimitChange | None:
        return None if self.limit == before else LimitChange(before, self.limit, why)
