"""When the arms were asked. Flagged by the size of the difference, never by a p-value."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from statistics import median

from beacon.analysis.cells import Cells
from beacon.analysis.comparison import Comparison

LARGE_LAG = 0.05
"""Of the run's span."""

EVEN = (0.4, 0.6)
"""The chance that the second arm starts after the first, where neither comes clearly later."""

NOTABLE_START = 0.5
"""A cold start explains a lag from this share of it on."""

SMALL_LAG_S = 30.0
"""A median lag below this is never flagged: nothing about a provider drifts noticeably within it."""


@dataclass(frozen=True, slots=True)
class Starts:
    """`lag_s` is the median, over pairs with the same stratum and repeat, of the second arm's start minus the
    first's, in seconds; `span_s` that of the whole comparison; `later` the chance that an answer of the
    second arm starts after one of the first. `cold_start_s` is the longest that an execution of the later arm
    is known to have waited for a provider that was starting, `cold_provider` that provider."""

    lag_s: float
    span_s: float
    later: float
    cold_start_s: float = 0.0
    cold_provider: str | None = None

    @property
    def from_cold(self) -> bool:
        """Whether a cold start is known that makes at least half of the lag."""
        return self.cold_start_s > 0 and self.cold_start_s >= NOTABLE_START * abs(self.lag_s)

    @property
    def differ(self) -> bool:
        if abs(self.lag_s) < SMALL_LAG_S:
            return False
        return abs(self.lag_s) > LARGE_LAG * self.span_s or not EVEN[0] <= self.later <= EVEN[1]


def starts(comparison: Comparison, cells: Cells) -> Starts | None:
    """None where start times are not known in both arms."""
    first: list[float] = []
    second: list[float] = []
    lags: list[float] = []
    for a, b in comparison.pairs:
        times_a, times_b = cells[a].starts, cells[b].starts
        first += times_a.values()
        second += times_b.values()
        lags += [times_b[repeat] - times_a[repeat] for repeat in times_a.keys() & times_b.keys()]
    if not lags:
        return None
    span = max(max(first), max(second)) - min(min(first), min(second))
    lag = median(lags)
    late = [b if lag > 0 else a for a, b in comparison.pairs]
    waited, where = max((o.cold_start_s, o.provider or "") for cell in late for o in cells[cell].executions)
    return Starts(lag, span, _later(first, second), waited, where or None)


def _later(first: list[float], second: list[float]) -> float:
    ordered = sorted(first)
    halves = sum(bisect_left(ordered, time) + bisect_right(ordered, time) for time in second)
    return halves / 2 / (len(first) * len(second))


def duration(seconds: float) -> str:
    """`46 days`, `20 minutes`, `45 seconds`."""
    size = abs(seconds)
    for length, noun in ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute")):
        if size >= length:
            count = round(size / length)
            return f"{count} {noun}" + ("" if count == 1 else "s")
    return f"{size:.0f} seconds"
