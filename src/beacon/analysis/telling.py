"""Which two answers show a difference best."""

from __future__ import annotations

from heapq import nsmallest

from beacon.analysis.cells import Cells, Recorded, Tally
from beacon.analysis.comparison import CellPair, Comparison
from beacon.analysis.finding import TellingPair
from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Observation

MOST = 3


def telling_pairs(
    comparison: Comparison,
    cells: Cells,
    tally: Tally,
    measure: RateMeasure,
    effect: float,
    question: str | None = None,
) -> tuple[TellingPair, ...]:
    """From the cells that differ most in the effect's direction: an answer in the class and one outside it,
    of the same repeat where there is one."""
    more = effect > 0

    def lean(pair: CellPair) -> float:
        difference = tally[pair[1]].rate - tally[pair[0]].rate
        return -difference if more else difference

    leaning = [pair for pair in comparison.pairs if question in {None, pair[0].question} and lean(pair) < 0]
    found: list[TellingPair] = []
    for a, b in nsmallest(MOST, leaning, key=lambda pair: (lean(pair), pair)):
        chosen = _choose(cells[a], cells[b], measure, more_in_second=more)
        if chosen is not None:
            found.append(TellingPair(a.question, (chosen[0].execution_id, chosen[1].execution_id)))
    return tuple(found)


def _choose(
    first: Recorded, second: Recorded, measure: RateMeasure, *, more_in_second: bool
) -> tuple[Observation, Observation] | None:
    a = [o for o in first.answered if measure.holds(o) != more_in_second]
    b = [o for o in second.answered if measure.holds(o) == more_in_second]
    return min(
        ((x, y) for x in a for y in b),
        key=lambda pair: (pair[0].repeat != pair[1].repeat, pair[0].repeat, pair[1].repeat),
        default=None,
    )
