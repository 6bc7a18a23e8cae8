"""Whether one repeat stands out from the others of its arm, and whether a call rests on one repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import pair
from beacon.analysis.cells import Marks, Tally
from beacon.analysis.comparison import Comparison
from beacon.analysis.draws import Bits, p_value
from beacon.analysis.pair import TIE, Cluster, Counts
from beacon.analysis.settings import MINIMUM_CLUSTERS

FLAG = 0.05
DRAWS = 999
FEWEST = 3
"""With two repeats each stands out from the other, and dropping one halves the data."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A repeat of one group in which the class came unusually often (`z` > 0) or rarely; `p` is corrected for
    the number of repeats."""

    group: str
    repeat: int
    z: float
    p: float


def outliers(comparison: Comparison, tally: Tally, seed: int) -> list[Outlier]:
    found = []
    for arm, group in enumerate(comparison.groups):
        outlier = _outlier(group, [tally[pair[arm]] for pair in comparison.pairs], seed)
        if outlier is not None:
            found.append(outlier)
    return found


def _outlier(group: str, cells: Sequence[Marks], seed: int) -> Outlier | None:
    """z of a repeat: its excess over the cells' own rates, in standard deviations (Bonferroni over
    repeats)."""
    excess: dict[int, float] = {}
    variance: dict[int, float] = {}
    for marks in cells:
        if 0 < marks.k < marks.n:
            for repeat, y in marks.by_repeat.items():
                excess[repeat] = excess.get(repeat, 0.0) + y - marks.rate
                variance[repeat] = variance.get(repeat, 0.0) + marks.rate * (1 - marks.rate)
    if len(variance) < FEWEST:
        return None
    scores = {repeat: excess[repeat] / math.sqrt(v) for repeat, v in variance.items()}
    worst = max(sorted(scores), key=lambda repeat: abs(scores[repeat]))
    z = scores[worst]
    p = min(1.0, 2 * NormalDist().cdf(-abs(z)) * len(scores))
    if p <= FLAG:
        p = max(p, _permuted(cells, abs(z), seed))
    return Outlier(group, worst, z, p) if p <= FLAG else None


def _permuted(cells: Sequence[Marks], worst: float, seed: int) -> float:
    """The same with answers permuted within cells: the normal law is too generous for rare classes."""
    ordered = sorted(tuple(sorted(marks.by_repeat.items())) for marks in cells if 0 < marks.k < marks.n)
    repeats = sorted({repeat for cell in ordered for repeat, _ in cell})
    place = {repeat: index for index, repeat in enumerate(repeats)}
    bits = Bits("repeat", seed, ordered)
    excess = np.zeros((DRAWS, len(repeats)))
    variance = np.zeros(len(repeats))
    for cell in ordered:
        marked = sum(y for _, y in cell)
        rate = marked / len(cell)
        columns = [place[repeat] for repeat, _ in cell]
        excess[:, columns] += _choose(bits, marked, len(cell)) - rate
        variance[columns] += rate * (1 - rate)
    largest = np.abs(excess / np.sqrt(variance)).max(axis=1)
    return p_value(int(np.count_nonzero(largest >= worst * (1 - TIE))), DRAWS)


def _choose(bits: Bits, marked: int, size: int) -> NDArray[np.bool_]:
    keys = bits.keys(DRAWS, size)
    chosen: NDArray[np.bool_] = keys <= np.partition(keys, marked - 1, axis=1)[:, marked - 1 : marked]
    return chosen


def rests_on(comparison: Comparison, tally: Tally, alpha: float) -> list[int]:
    """The repeats without any one of which the interval would reach 0."""
    repeats = sorted({repeat for pair in comparison.pairs for cell in pair for repeat in tally[cell].by_repeat})
    if len(repeats) < FEWEST:
        return []
    return [repeat for repeat in repeats if _lost_without(comparison, tally, alpha, repeat)]


def _lost_without(comparison: Comparison, tally: Tally, alpha: float, repeat: int) -> bool:
    clusters: list[Cluster] = []
    for _, pairs in comparison.clusters:
        counts = [(*_without(tally[a], repeat), *_without(tally[b], repeat)) for a, b in pairs]
        cluster = tuple(Counts(ka, na, kb, nb) for ka, na, kb, nb in counts if na and nb)
        if cluster:
            clusters.append(cluster)
    if len(clusters) < MINIMUM_CLUSTERS:
        return True
    low, high = pair.interval(clusters, alpha)
    return low <= 0 <= high


def _without(marks: Marks, repeat: int) -> tuple[int, int]:
    y = marks.by_repeat.get(repeat)
    return (marks.k, marks.n) if y is None else (marks.k - y, marks.n - 1)
