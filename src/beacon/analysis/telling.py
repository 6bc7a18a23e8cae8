"""Which two answers show a difference best."""

from __future__ import annotations

from collections.abc import Iterable

from beacon.analysis.cells import Cells
from beacon.analysis.comparison import CellPair, Comparison
from beacon.analysis.finding import TellingPair
from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Cell, Observation

MOST = 3


def telling_pairs(
    comparison: Comparison, cells: Cells, measure: RateMeasure, effect: float, question: str | None = None
) -> tuple[TellingPair, ...]:
    """From the cells that differ most in the effect's direction: an answer in the class and one outside it, of
    the same repeat where there is one."""
    pairs = [pair for pair in comparison.pairs if question in {None, pair[0].question}]
    ranked = sorted(pairs, key=lambda pair: (-_lean(pair, cells, measure, effect), pair))
    found: list[TellingPair] = []
    for a, b in ranked:
        chosen = _choose(cells[a], cells[b], measure, more_in_second=effect > 0)
        if chosen is not None:
            found.append(TellingPair(a.question, (chosen[0].execution_id, chosen[1].execution_id)))
        if len(found) == MOST:
            break
    return tuple(found)


def _lean(pair: CellPair, cells: Cells, measure: RateMeasure, effect: float) -> float:
    difference = _rate(pair[1], cells, measure) - _rate(pair[0], cells, measure)
    return difference if effect > 0 else -difference


def _rate(cell: Cell, cells: Cells, measure: RateMeasure) -> float:
    answered = [o for o in cells[cell] if o.answered]
    return sum(measure.holds(o) for o in answered) / len(answered) if answered else 0.0


def _choose(
    first: Iterable[Observation], second: Iterable[Observation], measure: RateMeasure, *, more_in_second: bool
) -> tuple[Observation, Observation] | None:
    a = [o for o in first if o.answered and measure.holds(o) != more_in_second]
    b = [o for o in second if o.answered and measure.holds(o) == more_in_second]
    pairs = [(x, y) for x in a for y in b]
    return min(pairs, key=lambda pair: (pair[0].repeat != pair[1].repeat, pair[0].repeat, pair[1].repeat), default=None)
