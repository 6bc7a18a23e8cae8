"""Whether one repeat stands out from the others of its arm, and whether a call rests on one repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import pair
from beacon.analysis.cells import Cells, count
from beacon.analysis.comparison import Comparison
from beacon.analysis.draws import Bits, p_value
from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Cell
from beacon.analysis.pair import TIE, Cluster, Counts
from beacon.analysis.settings import MINIMUM_CLUSTERS

FLAG = 0.05
DRAWS = 999
FEWEST = 3
"""With two repeats each stands out from the other, and dropping one halves the data."""

Series = list[tuple[int, int]]
"""Of one cell: repeat, and 1 if the answer is in the class."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A repeat of one group in which the class came unusually often (`z` > 0) or rarely; `p` is corrected for
    the number of repeats."""

    group: str
    repeat: int
    z: float
    p: float


def outliers(comparison: Comparison, cells: Cells, measure: RateMeasure, seed: int) -> list[Outlier]:
    found = []
    for arm, group in enumerate(comparison.groups):
        outlier = _outlier(group, [_series(cells, pair[arm], measure) for pair in comparison.pairs], seed)
        if outlier is not None:
            found.append(outlier)
    return found


def _series(cells: Cells, cell: Cell, measure: RateMeasure) -> Series:
    return [(o.repeat, int(measure.holds(o))) for o in cells[cell] if o.answered]


def _outlier(group: str, series: Sequence[Series], seed: int) -> Outlier | None:
    """z of a repeat: its excess over the cells' own rates, in standard deviations (Bonferroni over repeats)."""
    excess: dict[int, float] = {}
    variance: dict[int, float] = {}
    for cell in series:
        rate = sum(y for _, y in cell) / len(cell) if cell else 0.0
        for repeat, y in cell:
            excess[repeat] = excess.get(repeat, 0.0) + y - rate
            variance[repeat] = variance.get(repeat, 0.0) + rate * (1 - rate)
    scores = {repeat: excess[repeat] / math.sqrt(v) for repeat, v in variance.items() if v > 0}
    if len(scores) < FEWEST:
        return None
    worst = max(sorted(scores), key=lambda repeat: abs(scores[repeat]))
    z = scores[worst]
    p = min(1.0, 2 * NormalDist().cdf(-abs(z)) * len(scores))
    if p <= FLAG:
        p = max(p, _permuted(series, abs(z), seed))
    return Outlier(group, worst, z, p) if p <= FLAG else None


def _permuted(series: Sequence[Series], worst: float, seed: int) -> float:
    """The same with answers permuted within cells: the normal law is too generous for rare classes."""
    ordered = sorted(tuple(sorted(cell)) for cell in series if cell)
    repeats = sorted({repeat for cell in ordered for repeat, _ in cell})
    place = {repeat: index for index, repeat in enumerate(repeats)}
    bits = Bits("repeat", seed, ordered)
    excess = np.zeros((DRAWS, len(repeats)))
    variance = np.zeros(len(repeats))
    for cell in ordered:
        marked = sum(y for _, y in cell)
        if marked in {0, len(cell)}:
            continue
        rate = marked / len(cell)
        columns = [place[repeat] for repeat, _ in cell]
        excess[:, columns] += _choose(bits, marked, len(cell)) - rate
        variance[columns] += rate * (1 - rate)
    scored = variance > 0
    largest = np.abs(excess[:, scored] / np.sqrt(variance[scored])).max(axis=1)
    return p_value(int(np.count_nonzero(largest >= worst * (1 - TIE))), DRAWS)


def _choose(bits: Bits, marked: int, size: int) -> NDArray[np.bool_]:
    keys = bits.keys(DRAWS, size)
    chosen: NDArray[np.bool_] = keys <= np.partition(keys, marked - 1, axis=1)[:, marked - 1 : marked]
    return chosen


def rests_on(comparison: Comparison, cells: Cells, measure: RateMeasure, alpha: float) -> list[int]:
    """The repeats without any one of which the interval would reach 0."""
    repeats = sorted({o.repeat for pair in comparison.pairs for cell in pair for o in cells[cell]})
    if len(repeats) < FEWEST:
        return []
    return [repeat for repeat in repeats if _lost_without(comparison, cells, measure, alpha, repeat)]


def _lost_without(
    comparison: Comparison, cells: Cells, measure: RateMeasure, alpha: float, repeat: int
) -> bool:
    clusters: list[Cluster] = []
    for _, pairs in comparison.clusters:
        cluster = []
        for a, b in pairs:
            ka, na = count((o for o in cells[a] if o.repeat != repeat), measure)
            kb, nb = count((o for o in cells[b] if o.repeat != repeat), measure)
            if na and nb:
                cluster.append(Counts(ka, na, kb, nb))
        if cluster:
            clusters.append(tuple(cluster))
    if len(clusters) < MINIMUM_CLUSTERS:
        return True
    low, high = pair.interval(clusters, alpha)
    return low <= 0 <= high
