"""Whether a class became more or less frequent in the course of the run, and what that could do to an
effect."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from beacon.analysis.cells import Cells, Tally
from beacon.analysis.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Drift:
    """`slope` is the change of the rate per second within cells, `p` of the score test that it is 0."""

    slope: float
    p: float

    def bias(self, lag_s: float) -> float:
        """The difference of rates that the drift alone would make between arms that far apart in time."""
        return self.slope * lag_s


def drift(comparison: Comparison, cells: Cells, tally: Tally) -> Drift | None:
    """None where no cell has answers of both kinds at different times: nothing can be seen."""
    score = variance = spread = 0.0
    for points in _within_cells(comparison, cells, tally):
        n = len(points)
        mean_t = sum(t for t, _ in points) / n
        mean_y = sum(y for _, y in points) / n
        squares = sum((t - mean_t) ** 2 for t, _ in points)
        score += sum((t - mean_t) * (y - mean_y) for t, y in points)
        spread += squares
        variance += mean_y * (1 - mean_y) * n / (n - 1) * squares
    if variance == 0:
        return None
    return Drift(score / spread, 2 * NormalDist().cdf(-abs(score) / math.sqrt(variance)))


def _within_cells(comparison: Comparison, cells: Cells, tally: Tally) -> Iterable[list[tuple[float, int]]]:
    for pair in comparison.pairs:
        for cell in pair:
            starts, marks = cells[cell].starts, tally[cell]
            if marks.n > 1:
                points = [(starts[repeat], y) for repeat, y in marks.by_repeat.items() if repeat in starts]
                if len(points) > 1:
                    yield points
