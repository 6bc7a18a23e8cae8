"""A finding as a sentence for a person. What speaks against the plain reading stands first."""

from __future__ import annotations

from dataclasses import dataclass

from beacon.analysis.comparison import Comparison
from beacon.analysis.family import Call
from beacon.analysis.pair import Direction
from beacon.analysis.texts import TextTest
from beacon.analysis.words import counted, distance, percent, points, probability


@dataclass(frozen=True, slots=True)
class Told:
    """What a sentence tells of a finding, first group against second as in the finding itself."""

    did: str
    effect: float
    interval: tuple[float, float]
    q: float
    n: tuple[int, int]
    clusters: int
    direction: Direction
    call: Call
    alpha: float
    smallest_effect: float


def sentence(comparison: Comparison, told: Told) -> str:
    """Turned so that the group with more comes first and the difference reads as positive."""
    low, high = told.interval
    more, less = comparison.groups[1], comparison.groups[0]
    n_more, n_less = told.n[1], told.n[0]
    up, down = told.direction.up, told.direction.down
    if told.effect < 0:
        low, high = -high, -low
        more, less, n_more, n_less, up, down = less, more, n_less, n_more, down, up
    noun = "question" if comparison.level == "overall" else "model"
    behind = (
        f"averaged over {counted(told.clusters, noun)} ({percent(1 - told.alpha)} interval "
        f"{points(low)} to {points(high)}, "
        f"{noun}s as clusters; {probability('q', told.q)}; {n_more:,} and {n_less:,} answers; "
        f"{counted(up, noun)} up, {down} down, {told.direction.equal} equal)"
    )
    size = points(abs(told.effect))
    unit = "point" if size == "1" else "points"
    if told.call == "difference":
        reaches_inside = low < told.smallest_effect
        margin = f"; it may be smaller than {points(told.smallest_effect)} points" if reaches_inside else ""
        return f"{_than(comparison, told.did, f'{size} {unit} more often', more, less)}, {behind}{margin}."
    seen = "as often in both" if size == "0" else f"{size} {unit} more often {_at(comparison, more)}"
    if told.call == "negligible":
        within = f"the whole interval lies within ±{points(told.smallest_effect)} points"
        return f"{_between(comparison, told.did)} is negligible: {seen}, {behind}; {within}."
    return f"{_between(comparison, told.did)} is undecided: {seen}, {behind}."


def _who(comparison: Comparison) -> str:
    model = comparison.fixed("model")
    who = model if model is not None else "models together"
    region = comparison.fixed("region")
    return f"{who} in {region}" if region is not None else who


def _than(comparison: Comparison, did: str, how: str, more: str, less: str) -> str:
    if comparison.factor == "model":
        return f"{more} {did} {how} than {less}"
    return f"{_who(comparison)} {did} {how} {_at(comparison, more)} than {_at(comparison, less)}"


def _at(comparison: Comparison, level: str) -> str:
    match comparison.factor:
        case "region":
            return f"in {level}"
        case "language":
            return f"when asked in {level}"
        case "persona":
            return f"under persona {level}"
        case "run":
            return f"in run {level}"
        case "model":
            return f"by {level}"


def _between(comparison: Comparison, did: str) -> str:
    a, b = comparison.groups
    if comparison.factor == "model":
        return f"The difference between {a} and {b} in how often each {did}"
    return f"The difference between {a} and {b} in how often {_who(comparison)} {did}"


def text_sentence(
    comparison: Comparison, test: TextTest, q: float, call: Call, alpha: float, *, wording: bool = True
) -> str:
    """Says how far apart texts are, by wording or else by embeddings, between the groups and within each."""
    did = "words its answers differently" if wording else "gives answers with other embeddings"
    a, b = comparison.groups
    low, high = test.interval
    behind = (
        f"distance {test.between:.2f} between the groups, {test.within[0]:.2f} within {a} and "
        f"{test.within[1]:.2f} "
        f"within {b}, averaged over {counted(test.clusters, 'question')} (excess {distance(test.effect)}, "
        f"{percent(1 - alpha)} interval {distance(low)} to {distance(high)}, questions as clusters; "
        f"{probability('q', q)}; "
        f"{test.n[0]:,} and {test.n[1]:,} texts)"
    )
    if call == "difference":
        return f"{_who(comparison)} {did} {_at(comparison, a)} and {_at(comparison, b)}: {behind}."
    return f"Whether {_who(comparison)} {did} {_at(comparison, a)} and {_at(comparison, b)} is undecided: {behind}."
