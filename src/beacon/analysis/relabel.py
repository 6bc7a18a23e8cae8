"""What permuting the arms' labels within each stratum does to a cluster's mean difference: its distribution.

Summed in whole numbers: differences in units of 1/`unit`, weights as counts of relabellings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Strata = tuple[tuple[int, int, int, int], ...]
Margins = tuple[tuple[int, int, int], ...]

MOST_OUTCOMES = 160
"""A cluster whose mean can take more values is drawn in several parts, which are then added."""


@dataclass(frozen=True, slots=True)
class Part:
    """The distribution of what some of a cluster's strata add to its mean difference."""

    unit: int
    differences: tuple[int, ...]
    weights: tuple[int, ...]

    @property
    def constant(self) -> bool:
        return len(self.differences) == 1


def parts(cluster: Strata) -> tuple[Part, ...]:
    """Of a cluster with the strata (ka, na, kb, nb); parts that are always 0 are left out.

    A stratum in which all answers are in the class, or none, stays at 0 whatever the labels.
    """
    return _parts(tuple(sorted((ka + kb, na, nb) for ka, na, kb, nb in cluster)))


@lru_cache(maxsize=65_536)
def _parts(margins: Margins) -> tuple[Part, ...]:
    unit = len(margins) * math.lcm(*(n for _, na, nb in margins for n in (na, nb)))
    found: list[Part] = []
    total = {0: 1}
    for k, na, nb in margins:
        single = _stratum(k, na, nb, unit // len(margins))
        if min(len(total), len(single)) > 1 and len(total) * len(single) > MOST_OUTCOMES:
            found.append(_part(total, unit))
            total = single
        else:
            total = _sum(total, single)
    found.append(_part(total, unit))
    return tuple(part for part in found if not part.constant)


def _stratum(k: int, na: int, nb: int, unit: int) -> dict[int, int]:
    """Second arm's rate minus the first's, with the number of relabellings that give it."""
    counts: dict[int, int] = {}
    for j in range(max(0, k - nb), min(k, na) + 1):
        difference = (k - j) * (unit // nb) - j * (unit // na)
        counts[difference] = counts.get(difference, 0) + math.comb(na, j) * math.comb(nb, k - j)
    return counts


def ways_to_sum(margins: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    """How many relabellings of the strata (k of first + second marked) give each sum of the first arms'
    marked."""
    total = {0: 1}
    for k, first, second in margins:
        least, most = max(0, k - second), min(k, first)
        total = _sum(total, {j: math.comb(first, j) * math.comb(second, k - j) for j in range(least, most + 1)})
    return total


def _sum(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    total: dict[int, int] = {}
    for d, ways in one.items():
        for e, more in other.items():
            total[d + e] = total.get(d + e, 0) + ways * more
    return total


def _part(total: dict[int, int], unit: int) -> Part:
    differences = sorted(total)
    return Part(unit, tuple(differences), tuple(total[d] for d in differences))
