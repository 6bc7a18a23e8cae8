"""The observations by cell, and what each cell counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist

from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Cell, Observation


class Recorded:
    """What one cell has: all of its executions, those with a classified answer, and when each was started."""

    __slots__ = ("answered", "executions", "starts")

    def __init__(self, executions: list[Observation]) -> None:
        self.executions = executions
        self.answered = [o for o in executions if o.answered]
        self.starts = {o.repeat: o.started_at for o in executions if o.started_at is not None}

    @property
    def missing(self) -> int:
        return len(self.executions) - len(self.answered)


Cells = Mapping[Cell, Recorded]


class Marks:
    """Of one cell by one measure: which repeats have an answer, and whether it is in the class."""

    __slots__ = ("by_repeat", "k", "n")

    def __init__(self, recorded: Recorded, measure: RateMeasure) -> None:
        self.by_repeat = {o.repeat: int(measure.holds(o)) for o in recorded.answered}
        self.n = len(recorded.answered)
        self.k = sum(measure.holds(o) for o in recorded.answered)

    @property
    def rate(self) -> float:
        """0 where there is no answer."""
        return self.k / self.n if self.n else 0.0


Tally = Mapping[Cell, Marks]


def by_cell(observations: Iterable[Observation]) -> dict[Cell, Recorded]:
    cells: dict[Cell, list[Observation]] = {}
    for observation in observations:
        cells.setdefault(observation.cell, []).append(observation)
    return {cell: Recorded(executions) for cell, executions in cells.items()}


def tally(cells: Cells, measure: RateMeasure) -> dict[Cell, Marks]:
    return {cell: Marks(recorded, measure) for cell, recorded in cells.items()}


def wilson(k: int, n: int, alpha: float) -> tuple[float, float] | None:
    """Wilson's (1927) interval of a share, answers taken as independent; None without answers."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf(1 - alpha / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return (0.0 if k == 0 else max(0.0, centre - half)), (1.0 if k == n else min(1.0, centre + half))
