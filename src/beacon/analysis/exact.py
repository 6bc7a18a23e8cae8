"""Permutation distributions summed in full, where they are small enough: no draws, no Monte Carlo error."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MOST_WORK = 4_000_000
"""Additions that the full distribution of one pair may cost; above it drawing is faster."""

Outcomes = dict[int, float]
Strata = tuple[tuple[int, int, int, int], ...]


class Grid:
    """The joint distribution of the sum of the clusters' differences and of the sum of their squares.

    Both are whole numbers, in units of 1/`unit` and 1/`unit`^2: `mass[i, j]` is the probability of
    `least_sum + i` and `least_squares + j`.
    """

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.least_sum = self.least_squares = 0
        self.mass: NDArray[np.float64] = np.ones((1, 1))

    def add(self, outcomes: Outcomes) -> None:
        """One more cluster, independent of those before."""
        least, least_square = min(outcomes), min(d * d for d in outcomes)
        rows, columns = self.mass.shape
        height, width = max(outcomes) - least, max(d * d for d in outcomes) - least_square
        grown = np.zeros((rows + height, columns + width))
        for d, weight in outcomes.items():
            i, j = d - least, d * d - least_square
            grown[i : i + rows, j : j + columns] += weight * self.mass
        self.mass = grown
        self.least_sum += least
        self.least_squares += least_square

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The possible sums as a column and the possible sums of squares as a row."""
        rows, columns = self.mass.shape
        total = (self.least_sum + np.arange(rows)) / self.unit
        squares = (self.least_squares + np.arange(columns)) / self.unit**2
        return total[:, None], squares[None, :]

    def probability(self, where: NDArray[np.bool_]) -> float:
        return min(1.0, math.fsum(self.mass[where].tolist()))


def grid(clusters: tuple[Strata, ...]) -> Grid | None:
    """The permutation distribution over all clusters, or None where it would cost more than MOST_WORK."""
    unit = math.lcm(*{n * len(cluster) for cluster in clusters for _, na, _, nb in cluster for n in (na, nb)})
    if unit > MOST_WORK:
        return None
    outcomes = [_outcomes(cluster, unit) for cluster in clusters if _varies(cluster)]
    height = width = 1
    work = 0
    for possible in outcomes:
        height += max(possible) - min(possible)
        width += max(d * d for d in possible) - min(d * d for d in possible)
        work += height * width * len(possible)
        if work > MOST_WORK:
            return None
    result = Grid(unit)
    for possible in outcomes:
        result.add(possible)
    return result


def _varies(cluster: Strata) -> bool:
    return any(0 < ka + kb < na + nb for ka, na, kb, nb in cluster)


def _outcomes(cluster: Strata, unit: int) -> Outcomes:
    """The cluster's mean difference under relabelling, in units of 1/unit, with its probability."""
    total: Outcomes = {0: 1.0}
    for ka, na, kb, nb in cluster:
        k = ka + kb
        step_a, step_b = unit // (na * len(cluster)), unit // (nb * len(cluster))
        all_tables = math.comb(na + nb, k)
        grown: Outcomes = {}
        for j in range(max(0, k - nb), min(k, na) + 1):
            weight = math.comb(na, j) * math.comb(nb, k - j) / all_tables
            shift = j * step_a - (k - j) * step_b
            for d, before in total.items():
                grown[d + shift] = grown.get(d + shift, 0.0) + before * weight
        total = grown
    return total
