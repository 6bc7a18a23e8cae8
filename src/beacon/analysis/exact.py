"""Permutation distributions summed in full, where they are small enough: no draws, no Monte Carlo error."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from beacon.analysis.relabel import Part, Strata, parts

WORK_OF_A_DRAW = 150
"""Additions to the full distribution of one pair that take about as long as one draw of it."""

Outcomes = dict[int, float]


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


def grid(clusters: tuple[Strata, ...], draws: int) -> Grid | None:
    """The permutation distribution over all clusters, or None where so many draws of it are quicker."""
    most_work = WORK_OF_A_DRAW * draws
    split = [parts(cluster) for cluster in clusters]
    moving = [found[0] for found in split if found]
    unit = math.lcm(*(part.unit for part in moving))
    if unit > most_work or any(len(found) > 1 for found in split):
        return None
    outcomes = [_outcomes(part, unit) for part in moving]
    height = width = 1
    work = 0
    for possible in outcomes:
        height += max(possible) - min(possible)
        width += max(d * d for d in possible) - min(d * d for d in possible)
        work += height * width * len(possible)
        if work > most_work:
            return None
    result = Grid(unit)
    for possible in outcomes:
        result.add(possible)
    return result


def _outcomes(part: Part, unit: int) -> Outcomes:
    step, ways = unit // part.unit, sum(part.weights)
    return {d * step: weight / ways for d, weight in zip(part.differences, part.weights, strict=True)}
