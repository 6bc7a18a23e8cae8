"""The observations by cell, and what each cell counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist

from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Cell, Observation

Cells = Mapping[Cell, list[Observation]]
Tally = Mapping[Cell, tuple[int, int]]


def by_cell(observations: Iterable[Observation]) -> dict[Cell, list[Observation]]:
    cells: dict[Cell, list[Observation]] = {}
    for observation in observations:
        cells.setdefault(observation.cell, []).append(observation)
    return cells


def tally(cells: Cells, measure: RateMeasure) -> dict[Cell, tuple[int, int]]:
    """Of each cell, how many answers are in the class, and how many there are."""
    return {cell: count(observations, measure) for cell, observations in cells.items()}


def count(observations: Iterable[Observation], measure: RateMeasure) -> tuple[int, int]:
    answered = [o for o in observations if o.answered]
    return sum(1 for o in answered if measure.holds(o)), len(answered)


def wilson(k: int, n: int, alpha: float) -> tuple[float, float] | None:
    """Wilson's (1927) interval of a share, answers taken as independent; None without answers."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf(1 - alpha / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return (0.0 if k == 0 else max(0.0, centre - half)), (1.0 if k == n else min(1.0, centre + half))
