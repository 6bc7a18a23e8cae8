"""Answers that are missing: whether one arm misses more, and what the worst case would do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beacon.analysis import pair
from beacon.analysis.cells import Cells, Tally
from beacon.analysis.comparison import Comparison
from beacon.analysis.observation import Cell
from beacon.analysis.pair import Cluster, Counts
from beacon.analysis.settings import MINIMUM_CLUSTERS

UNEVEN = 0.05
DRAWS = 999


@dataclass(frozen=True, slots=True)
class Missing:
    """Executions of either arm without a classified answer; `p` of the test that both arms miss as often
    (None with fewer than 6 clusters)."""

    count: tuple[int, int]
    planned: tuple[int, int]
    p: float | None

    @property
    def any(self) -> bool:
        return sum(self.count) > 0

    @property
    def uneven(self) -> bool:
        return self.p is not None and self.p <= UNEVEN


def missing(comparison: Comparison, cells: Cells, seed: int) -> Missing:
    clusters: list[Cluster] = [
        tuple(Counts(*_missing(cells, a), *_missing(cells, b)) for a, b in pairs) for _, pairs in comparison.clusters
    ]
    planned = pair.arm_sizes(clusters)
    count = pair.in_class(clusters)
    return Missing(count, planned, _p(clusters, seed) if sum(count) else None)


def _p(clusters: list[Cluster], seed: int) -> float | None:
    """That of section 4 of the method; by its t test alone where that is enough to call them even."""
    if len(clusters) < MINIMUM_CLUSTERS:
        return None
    p_t = pair.t_p(clusters)
    return p_t if p_t > UNEVEN else max(p_t, pair.permutation_p(clusters, DRAWS, seed))


def _missing(cells: Cells, cell: Cell) -> tuple[int, int]:
    return cells[cell].missing, len(cells[cell].executions)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The effect if all that is missing in one arm were in the class and none in the other, and the reverse
    (Manski 1990): whatever the missing answers were, the effect over all planned questions lies between."""

    low: float
    high: float

    @property
    def direction_survives(self) -> bool:
        return self.low > 0 or self.high < 0


def bounds(comparison: Comparison, cells: Cells, tally: Tally) -> Bounds:
    lows: list[float] = []
    highs: list[float] = []
    for _, pairs in comparison.clusters:
        ranges = [(_range(cells, tally, a), _range(cells, tally, b)) for a, b in pairs]
        lows.append(math.fsum(b[0] - a[1] for a, b in ranges) / len(ranges))
        highs.append(math.fsum(b[1] - a[0] for a, b in ranges) / len(ranges))
    return Bounds(math.fsum(lows) / len(lows), math.fsum(highs) / len(highs))


def _range(cells: Cells, tally: Tally, cell: Cell) -> tuple[float, float]:
    """The least and the largest rate of a cell."""
    recorded = cells[cell]
    planned = len(recorded.executions)
    return tally[cell].k / planned, (tally[cell].k + recorded.missing) / planned
