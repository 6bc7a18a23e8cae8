"""Before a run: the smallest difference that it will be able to show, and the repeats that a wanted one
needs.

The plan assumes that questions differ in their rates (normal on the logit scale, standard deviation `spread`)
and that the second region's rates are shifted by a constant on that scale. Wrong spread, wrong power: it is
part of every answer here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import student
from beacon.analysis.comparison import REGIONAL
from beacon.analysis.omnibus import omnibus_p, question_pair
from beacon.analysis.settings import MINIMUM_CLUSTERS, reverses_of
from beacon.analysis.words import counted, percent, points
from beacon.domain.spec import JobSpec

SPREAD = 1.5
BASE_RATES = (0.02, 0.1, 0.5)
MOST_REPEATS = 1_000
_NODES = 101


@dataclass(frozen=True, slots=True)
class Design:
    """`pairs` is the number of comparisons in the family (models times pairs of regions); `completion` the
    share of executions that is expected to be answered; `negligible` the smallest effect that matters: where the whole
    interval lies within it, no difference is called."""

    questions: int
    repeats: int
    pairs: int
    alpha: float = 0.05
    power: float = 0.8
    spread: float = SPREAD
    completion: float = 1.0
    negligible: float = 0.05

    @property
    def answers_a_cell(self) -> float:
        return self.repeats * self.completion


@dataclass(frozen=True, slots=True)
class Noise:
    """Of one base rate and difference: `within` is the sum of both arms' mean p(1 - p), `between` the
    variance of the difference from question to question."""

    within: float
    between: float


def smallest_effect(design: Design, base_rate: float) -> float | None:
    """The difference of rates that is called a difference in a share `power` of such jobs; None where no
    difference is, or fewer than 6 questions are asked."""
    if design.questions < MINIMUM_CLUSTERS:
        return None
    low_rate = min(base_rate, 1 - base_rate)
    most = 0.999 - low_rate
    if most < _needed(design, low_rate, most):
        return None
    low, high = 0.0, most
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if middle >= _needed(design, low_rate, middle) else (middle, high)
    return high


def repeats_needed(design: Design, base_rate: float, effect: float) -> int | None:
    """The fewest repeats with which `effect` is found; None where more repeats alone do not help, because the
    difference itself varies from question to question: only more questions do."""
    low, high = 1, MOST_REPEATS
    if not _finds(design, base_rate, effect, high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _finds(design, base_rate, effect, middle) else (middle + 1, high)
    return low


def _finds(design: Design, base_rate: float, effect: float, repeats: int) -> bool:
    low_rate = min(base_rate, 1 - base_rate)
    if design.questions < MINIMUM_CLUSTERS or low_rate + effect >= 1:
        return False
    return effect >= _needed(replace(design, repeats=repeats), low_rate, effect)


def _needed(design: Design, base_rate: float, delta: float) -> float:
    """The difference that is found with this noise, which itself depends on the difference. It is never less than
    the smallest effect that matters: below, more data has it called negligible."""
    found = noise(base_rate, delta, design.spread)
    q, n = design.questions, design.questions * design.answers_a_cell
    error = math.sqrt(found.within / n + 2 / n**2 + found.between / q)
    alpha = design.alpha / design.pairs
    tested = (student.quantile(1 - alpha / 2, q - 1) + student.quantile(design.power, q - 1)) * error
    return max(tested, design.negligible)


def noise(base_rate: float, delta: float, spread: float) -> Noise:
    first = question_rates(base_rate, spread)
    second = question_rates(base_rate + delta, spread)
    _, weights = _normal()
    difference = second - first
    within = float(weights @ (first * (1 - first) + second * (1 - second)))
    between = float(weights @ (difference - weights @ difference) ** 2)
    return Noise(within, between)


@lru_cache(maxsize=4096)
def intercept(mean_rate: float, spread: float) -> float:
    """The logit around which questions lie when their rates have this mean."""
    nodes, weights = _normal()
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = float(weights @ _expit(middle + spread * nodes))
        low, high = (middle, high) if mean < mean_rate else (low, middle)
    return (low + high) / 2


def question_rates(mean_rate: float, spread: float) -> NDArray[np.float64]:
    """The rates of questions at the nodes of the normal law."""
    nodes, _ = _normal()
    return _expit(intercept(mean_rate, spread) + spread * nodes)


@lru_cache(maxsize=1)
def _normal() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Hermite nodes and weights for the standard normal law."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return nodes, weights / weights.sum()


def _expit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return result


def smallest_on_one_question(repeats: int, regions: int, tests: int, alpha: float = 0.05) -> float | None:
    """The smallest difference of one region's rate from all others at 0 that a single question can show,
    among `tests` questions and models; None where not even 0 against 1 is enough."""
    if repeats < 2 or regions < 2:
        return None
    others = [(0, repeats)] * (regions - 1)
    for k in range(1, repeats + 1):
        everything = omnibus_p([(k, repeats), *others], draws=9_999, seed=0)
        pair = question_pair((0, repeats), (k, repeats), alpha, draws=9_999, seed=0)
        holm = pair.p * regions * (regions - 1) / 2
        if max(everything, holm) * tests <= alpha:
            return k / repeats
    return None


@dataclass(frozen=True, slots=True)
class Reach:
    """At one base rate: the smallest difference that is found, and the repeats that `wanted` needs."""

    base_rate: float
    smallest_effect: float | None
    wanted: float
    repeats_for_wanted: int | None


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """What a job can show; `comparisons` counts its pairs of regions over all models."""

    design: Design
    comparisons: int
    reaches: tuple[Reach, ...]
    smallest_on_one_question: float | None

    def sentences(self) -> list[str]:
        """For a person, the assumption last."""
        design = self.design
        if self.comparisons == 0:
            return ["One region only: no difference between regions can be shown."]
        if design.questions < MINIMUM_CLUSTERS:
            return [
                f"{counted(design.questions, 'question')}: nothing can be said over questions, which needs "
                f"{MINIMUM_CLUSTERS}."
            ]
        told = [_reach_sentence(design, reach) for reach in self.reaches]
        if self.smallest_on_one_question is not None:
            told.append(
                "On a single question only a difference of about "
                f"{points(self.smallest_on_one_question)} points or more can be shown."
            )
        else:
            told.append("On single questions nothing can be shown: that needs more repeats, about 20.")
        told.append(
            f"Assumed: {counted(self.comparisons, 'comparison')} in the family, question effects with "
            "a standard "
            f"deviation of {design.spread:g} on the logit scale, {percent(design.completion)} of "
            "executions answered."
        )
        return told


def _reach_sentence(design: Design, reach: Reach) -> str:
    where = f"At a rate of {percent(reach.base_rate)}"
    if reach.smallest_effect is None:
        found = f"{where} no difference between two regions is found with {percent(design.power)} power"
    else:
        size = points(reach.smallest_effect)
        found = f"{where} a difference of {size} points is found with {percent(design.power)} power"
    wanted = points(reach.wanted)
    if reach.repeats_for_wanted is None:
        return f"{found}; {wanted} points need more questions, whatever the repeats."
    return f"{found}; {wanted} points need {counted(reach.repeats_for_wanted, 'repeat')}."


def power_plan(
    spec: JobSpec,
    *,
    wanted: float = 0.1,
    base_rates: tuple[float, ...] = BASE_RATES,
    completion: float = 1.0,
    spread: float = SPREAD,
) -> PowerPlan:
    """For `beacon plan`: what the regions of this job can be told apart by.

    Personas and languages that are asked everywhere count as further repeats of a question, and so does the reverse of
    a question: the two are one cluster.
    """
    regions, questions = len(spec.regions), len(spec.questions)
    clusters = questions - len(reverses_of(spec))
    comparisons = len(spec.models) * regions * (regions - 1) // 2
    personas = len([persona for persona in spec.personas if persona != REGIONAL]) or 1
    asked = personas * min(len(spec.languages_of(region)) for region in spec.regions)
    per_cluster = asked * questions // clusters
    design = Design(clusters, spec.repeats * per_cluster, max(1, comparisons), spread=spread, completion=completion)
    reaches = []
    for rate in base_rates:
        answers = repeats_needed(design, rate, wanted)
        repeats = None if answers is None else math.ceil(answers / per_cluster)
        reaches.append(Reach(rate, smallest_effect(design, rate), wanted, repeats))
    single = None
    if spec.repeats > 1:
        single = smallest_on_one_question(spec.repeats * asked, regions, questions * len(spec.models))
    return PowerPlan(design, comparisons, tuple(reaches), single)
