"""What could make a difference of rates other than its factor: each a caveat, with its figures beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.answer import TEXT_LABELS
from beacon.analysis.cells import Cells, Tally
from beacon.analysis.circumstances import Circumstances
from beacon.analysis.drift import drift
from beacon.analysis.measure import RateMeasure
from beacon.analysis.missing import bounds
from beacon.analysis.repeats import outliers, rests_on
from beacon.analysis.routes import within_upstreams
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.words import counted, listed, percent, points, probability

DRIFTS = 0.05


@dataclass(frozen=True, slots=True)
class Checks:
    """`caveats` in the order in which they matter; `figures` for whoever looks closer, by name of the
    check."""

    caveats: tuple[str, ...]
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is checked: an effect, and whether it is called a difference."""

    effect: float
    is_difference: bool


def check(
    claim: Claim,
    around: Circumstances,
    cells: Cells,
    tally: Tally,
    measure: RateMeasure,
    settings: AnalysisSettings,
) -> Checks:
    caveats = list(around.caveats)
    figures: dict[str, Any] = {"routes": {mix.attribute: mix.p for mix in around.mixes}}
    if claim.is_difference:
        _within(claim, around, measure, caveats, figures)
    _starts(around, caveats, figures)
    _missing(claim, around, cells, tally, caveats, figures)
    if claim.is_difference:
        _drift(claim, around, cells, tally, settings, caveats, figures)
        _repeats(around, tally, settings, caveats, figures)
    _labels(around, tally, measure, settings, caveats, figures)
    return Checks(tuple(caveats), figures)


def _within(
    claim: Claim, around: Circumstances, measure: RateMeasure, caveats: list[str], figures: dict[str, Any]
) -> None:
    within = within_upstreams(around.comparison, around.arms, measure)
    if within is None:
        return
    figures["within_upstreams"] = {
        **asdict(within),
        "inseparable": within.inseparable,
        "holds": within.holds(claim.effect),
    }
    if within.inseparable:
        caveats.append(
            "Inseparable from the routes: hosts that served both groups hold only "
            f"{percent(within.overlap)} of what the comparison knows."
        )
    elif within.effect is not None and within.p is not None:
        said = "holds" if within.holds(claim.effect) else "is not shown"
        effect = points(abs(within.effect)) if claim.effect * within.effect >= 0 else points(-abs(within.effect))
        caveats.append(
            f"Among answers of the same upstream host the difference {said} "
            f"({effect} points, {probability('p', within.p)})."
        )


def _starts(around: Circumstances, caveats: list[str], figures: dict[str, Any]) -> None:
    if around.starts is None:
        return
    figures["starts"] = asdict(around.starts)
    caveats += around.start_caveats


def _missing(
    claim: Claim,
    around: Circumstances,
    cells: Cells,
    tally: Tally,
    caveats: list[str],
    figures: dict[str, Any],
) -> None:
    gone = around.missing
    if not gone.any:
        return
    figures["missing"] = asdict(gone)
    groups = zip(around.comparison.groups, gone.count, gone.planned, strict=True)
    told = " and ".join(f"{count:,} of {planned:,} in {group}" for group, count, planned in groups)
    uneven = f", unevenly ({probability('p', gone.p)})" if gone.uneven and gone.p is not None else ""
    said = f"Answers are missing: {told}{uneven}."
    if claim.is_difference:
        worst = bounds(around.comparison, cells, tally)
        figures["bounds"] = {**asdict(worst), "direction_survives": worst.direction_survives}
        low, high = (worst.low, worst.high) if claim.effect >= 0 else (-worst.high, -worst.low)
        survives = "the direction survives" if worst.direction_survives else "the direction would not be certain"
        said += (
            f" Whatever they would have been, the difference over all that was asked lies between "
            f"{points(low)} and {points(high)} points: {survives}."
        )
    caveats.append(said)


def _drift(
    claim: Claim,
    around: Circumstances,
    cells: Cells,
    tally: Tally,
    settings: AnalysisSettings,
    caveats: list[str],
    figures: dict[str, Any],
) -> None:
    found = drift(around.comparison, cells, tally)
    if found is None or around.starts is None:
        return
    bias = found.bias(around.starts.lag_s)
    figures["drift"] = {**asdict(found), "bias": bias}
    if found.p <= DRIFTS and abs(bias) > min(settings.smallest_effect / 2, abs(claim.effect) / 4):
        caveats.append(
            f"The class drifted over the run ({probability('p', found.p)}); with the groups' different start "
            f"times that alone makes about {points(bias)} points."
        )


def _repeats(
    around: Circumstances,
    tally: Tally,
    settings: AnalysisSettings,
    caveats: list[str],
    figures: dict[str, Any],
) -> None:
    odd = outliers(around.comparison, tally, settings.seed)
    figures["repeats_that_stand_out"] = [asdict(outlier) for outlier in odd]
    for outlier in odd:
        how = "more" if outlier.z > 0 else "less"
        caveats.append(
            f"Repeat {outlier.repeat + 1} in {outlier.group} stands out: the class came {how} often than "
            "in the other "
            f"repeats ({probability('p', outlier.p)})."
        )
    resting = rests_on(around.comparison, tally, settings.alpha)
    figures["rests_on_repeats"] = resting
    if resting:
        # Repeats are counted from 1 where people read them, as on pages and in `explain`.
        which = listed([str(repeat + 1) for repeat in resting])
        noun = counted(len(resting), "repeat").split(" ", 1)[1]
        caveats.append(f"The call rests on {noun} {which}: without it the interval reaches 0.")


def _labels(
    around: Circumstances,
    tally: Tally,
    measure: RateMeasure,
    settings: AnalysisSettings,
    caveats: list[str],
    figures: dict[str, Any],
) -> None:
    """What the labeller finds and what it takes for the class by mistake, in the languages of the groups; where
    these differ, what that alone would make of equal rates at the level that was seen."""
    if settings.labels is None:
        return
    told = []
    seen: list[tuple[float, float]] = []
    texts = [label for label in TEXT_LABELS if label in measure.labels]
    for group, languages in zip(around.comparison.groups, around.comparison.languages, strict=True):
        known = [errors for name in languages if (errors := settings.labels.errors.get(name.split("-")[0])) is not None]
        if not texts or len(known) < len(languages):
            continue
        found = sum(errors.found(texts) for errors in known) / len(known)
        alarms = sum(errors.false_alarms(texts) for errors in known) / len(known)
        seen.append((found, alarms))
        told.append(f"in {listed(languages)} ({group}) {percent(found)} with {percent(alarms)} false alarms")
    if not told:
        return
    said = f"Labels by {settings.labels.source}; of answers in the class it finds {listed(told)}"
    if len(seen) == 2 and seen[0] != seen[1]:
        rate = _rate(around, tally)
        gap = abs((seen[1][0] - seen[0][0]) * rate + (seen[1][1] - seen[0][1]) * (1 - rate))
        figures["labelling_gap"] = gap
        said += f"; that alone would make about {points(gap)} points of equal rates"
    caveats.append(said + ".")


def _rate(around: Circumstances, tally: Tally) -> float:
    """Of all answers of both groups."""
    marks = [tally[cell] for pair in around.comparison.pairs for cell in pair]
    return sum(mark.k for mark in marks) / max(1, sum(mark.n for mark in marks))
