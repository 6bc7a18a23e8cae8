"""Two arms compared by a rate: effect, test and interval that cannot contradict each other.

A *stratum* is what both arms were asked alike (a question; with it persona and language where those vary);
a *cluster* is what was sampled (the question, or the model where models are pooled). The effect is the mean
over clusters of the mean over strata of the difference of rates, second arm minus first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import student
from beacon.analysis.draws import Bits, drawn, p_value
from beacon.analysis.exact import grid
from beacon.analysis.relabel import Part, parts
from beacon.analysis.settings import MINIMUM_CLUSTERS

TIE = 1e-9
"""Statistics that differ relatively by less are equal: ties must not be decided by rounding."""

HOPELESS = 0.1
FEW_DRAWS = 199
"""Where the t test alone gives more than HOPELESS, the permutation test can add nothing to the call and is
done with FEW_DRAWS. The choice depends on the observed statistic only, so that P(p <= a) <= a for a <=
0.1."""


AT_ONCE = 1 << 16
"""Numbers that are drawn in one go: as many as a processor keeps close by."""


class Counts(NamedTuple):
    """Of one stratum: `k` answers in the class of `n` answers, in either arm; both n are positive."""

    ka: int
    na: int
    kb: int
    nb: int

    @property
    def difference(self) -> float:
        return self.kb / self.nb - self.ka / self.na

    def swapped(self) -> Counts:
        return Counts(self.kb, self.nb, self.ka, self.na)


Cluster = tuple[Counts, ...]
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Direction:
    """Clusters in which the second arm has more, less, and as much."""

    up: int
    down: int
    equal: int


@dataclass(frozen=True, slots=True)
class PairTest:
    """`interval` is for the average over clusters like these, `interval_pack` for these very clusters (None
    where a cell has one answer only, so that its noise is unknown). `rates` are the arms' mean rates, `n`
    their answers."""

    effect: float
    interval: tuple[float, float]
    interval_pack: tuple[float, float] | None
    p: float
    n: tuple[int, int]
    in_class: tuple[int, int]
    rates: tuple[float, float]
    clusters: int
    direction: Direction


def compare(clusters: list[Cluster], *, alpha: float, draws: int, seed: int) -> PairTest | None:
    """None where fewer than 6 clusters have answers in both arms: too few to say anything over them."""
    if len(clusters) < MINIMUM_CLUSTERS:
        return None
    differences = [_difference(cluster) for cluster in clusters]
    estimate = _estimate(clusters, differences)
    p_t = student.two_sided_p(abs(estimate.effect) / math.sqrt(estimate.variance), len(clusters) - 1)
    p_permutation = permutation_p(clusters, draws if p_t <= HOPELESS else min(draws, FEW_DRAWS), seed)
    half = student.quantile(1 - alpha / 2, len(clusters) - 1) * math.sqrt(estimate.variance)
    return PairTest(
        effect=estimate.effect,
        interval=_around(estimate.effect, half),
        interval_pack=_pack_interval(clusters, estimate.effect, alpha),
        p=max(p_permutation, p_t),
        n=arm_sizes(clusters),
        in_class=in_class(clusters),
        rates=_rates(clusters),
        clusters=len(clusters),
        direction=_direction(differences),
    )


class Estimate(NamedTuple):
    effect: float
    variance: float


def _estimate(clusters: list[Cluster], differences: list[float]) -> Estimate:
    q = len(differences)
    effect = math.fsum(differences) / q
    spread = math.fsum((d - effect) ** 2 for d in differences) / (q - 1)
    return Estimate(effect, spread / q + imaginary(clusters))


def interval(clusters: list[Cluster], alpha: float) -> tuple[float, float]:
    """The interval of `compare` alone, without its test."""
    estimate = _estimate(clusters, [_difference(cluster) for cluster in clusters])
    half = student.quantile(1 - alpha / 2, len(clusters) - 1) * math.sqrt(estimate.variance)
    return _around(estimate.effect, half)


def t_p(clusters: list[Cluster]) -> float:
    """The p of the t test alone, which the p of `compare` is never below."""
    estimate = _estimate(clusters, [_difference(cluster) for cluster in clusters])
    return student.two_sided_p(abs(estimate.effect) / math.sqrt(estimate.variance), len(clusters) - 1)


def permutation_p(clusters: list[Cluster], draws: int, seed: int) -> float:
    """Studentised permutation of the arms' labels within each stratum (Chung and Romano 2013).

    Summed over all relabellings where that is quick, drawn elsewhere. Clusters and strata are sorted and the
    pair is turned to the smaller of its two tables, so that neither names nor the order of rows can change a
    draw.
    """
    table = _canonical(clusters)
    floor = imaginary(clusters)
    least = _observed(table, floor) * (1 - TIE)
    distribution = grid(table, draws)
    if distribution is None:
        return _drawn_p(table, floor, least, draws, seed)
    statistic = _studentised(*distribution.sums(), len(table), floor)
    return distribution.probability(statistic >= least)


def _drawn_p(table: tuple[Cluster, ...], floor: float, least: float, draws: int, seed: int) -> float:
    bits = Bits(seed, draws, table)
    total, squares = np.zeros(draws), np.zeros(draws)
    moving = [found for cluster in table if (found := parts(cluster))]
    at_once = max(1, AT_ONCE // draws)
    for begin in range(0, len(moving), at_once):
        moved = _moved(moving[begin : begin + at_once], bits, draws)
        total += moved.sum(axis=0)
        squares += (moved * moved).sum(axis=0)
    statistic = _studentised(total, squares, len(table), floor)
    return p_value(int(np.count_nonzero(statistic >= least)), draws)


def _moved(clusters: Sequence[tuple[Part, ...]], bits: Bits, draws: int) -> NDArray[np.float64]:
    """The clusters' mean differences, a row each, under each draw."""
    pieces = [part for found in clusters for part in found]
    places = drawn(bits, [part.weights for part in pieces], draws)
    values = np.zeros((len(pieces), max(len(part.differences) for part in pieces)))
    for row, part in zip(values, pieces, strict=True):
        row[: len(part.differences)] = np.array(part.differences) / part.unit
    moved = np.take_along_axis(values, places, axis=1)
    if len(pieces) == len(clusters):
        return moved
    edges = np.cumsum([0, *(len(found) for found in clusters[:-1])])
    return np.asarray(np.add.reduceat(moved, edges, axis=0))


def _observed(table: tuple[Cluster, ...], floor: float) -> float:
    differences = [_difference(cluster) for cluster in table]
    total, squares = math.fsum(differences), math.fsum(d * d for d in differences)
    return float(_studentised(np.array([total]), np.array([squares]), len(table), floor)[0])


def _studentised(
    total: NDArray[np.float64], squares: NDArray[np.float64], clusters: int, floor: float
) -> NDArray[np.float64]:
    spread = np.maximum(squares - total * total / clusters, 0) / (clusters - 1)
    result: NDArray[np.float64] = np.abs(total) / clusters / np.sqrt(spread / clusters + floor)
    return result


def imaginary(clusters: list[Cluster]) -> float:
    """The variance of one imaginary deviating answer in each arm (after Agresti and Caffo 2000).

    Without it the interval collapses where nothing deviates.
    """
    na, nb = arm_sizes(clusters)
    return 1 / na**2 + 1 / nb**2


def _canonical(clusters: list[Cluster]) -> tuple[Cluster, ...]:
    return min(_ordered(clusters), _ordered([tuple(c.swapped() for c in cluster) for cluster in clusters]))


def _ordered(clusters: list[Cluster]) -> tuple[Cluster, ...]:
    return tuple(sorted(tuple(sorted(cluster)) if len(cluster) > 1 else cluster for cluster in clusters))


def _difference(cluster: Cluster) -> float:
    if len(cluster) == 1:
        return cluster[0].difference
    return math.fsum(counts.difference for counts in cluster) / len(cluster)


def _direction(differences: list[float]) -> Direction:
    up = sum(1 for d in differences if d > TIE)
    down = sum(1 for d in differences if d < -TIE)
    return Direction(up, down, len(differences) - up - down)


def arm_sizes(clusters: list[Cluster]) -> tuple[int, int]:
    """Answers of either arm."""
    na = nb = 0
    for cluster in clusters:
        for counts in cluster:
            na += counts.na
            nb += counts.nb
    return na, nb


def in_class(clusters: list[Cluster]) -> tuple[int, int]:
    """Answers in the class of either arm."""
    return sum(c.ka for cluster in clusters for c in cluster), sum(c.kb for cluster in clusters for c in cluster)


def _rates(clusters: list[Cluster]) -> tuple[float, float]:
    a = math.fsum(c.ka / c.na / len(cluster) for cluster in clusters for c in cluster)
    b = math.fsum(c.kb / c.nb / len(cluster) for cluster in clusters for c in cluster)
    return a / len(clusters), b / len(clusters)


def _pack_interval(clusters: list[Cluster], centre: float, alpha: float) -> tuple[float, float] | None:
    """Only the noise of repeats: binomial within each cell, unbiased by n - 1."""
    if any(counts.na < 2 or counts.nb < 2 for cluster in clusters for counts in cluster):
        return None
    noise = math.fsum(_noise(counts) / len(cluster) ** 2 for cluster in clusters for counts in cluster)
    half = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(noise / len(clusters) ** 2 + imaginary(clusters))
    return _around(centre, half)


def _noise(counts: Counts) -> float:
    a, b = counts.ka / counts.na, counts.kb / counts.nb
    return a * (1 - a) / (counts.na - 1) + b * (1 - b) / (counts.nb - 1)


def _around(centre: float, half: float) -> tuple[float, float]:
    return max(-1.0, centre - half), min(1.0, centre + half)
