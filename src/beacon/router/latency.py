"""How long answers take now: a moving average that believes a slow answer at once and forgets it with time.

The peak EWMA of Finagle's load balancer: a peak replaces the average, so that a provider in trouble loses work before
its mean shows it; from there it decays, so that the provider is tried again.
"""

from __future__ import annotations

import math

DECAY_S = 15.0
"""After so long a latency weighs 1/e of what it did. It ends no request: it decides between providers of a cell."""


class PeakEwma:
    """Seconds that an answer takes; None until one came. Moments are seconds of the monotonic clock."""

    __slots__ = ("_at", "_value")

    def __init__(self) -> None:
        self._value: float | None = None
        self._at = 0.0

    def observe(self, took_s: float, now: float) -> None:
        if self._value is None or took_s >= self._value:
            self._value = took_s
        else:
            weight = math.exp(-(now - self._at) / DECAY_S)
            self._value = weight * self._value + (1.0 - weight) * took_s
        self._at = now

    def at(self, now: float) -> float | None:
        """What an answer is expected to take, less the longer ago the last one came."""
        return None if self._value is None else self._value * math.exp(-(now - self._at) / DECAY_S)
