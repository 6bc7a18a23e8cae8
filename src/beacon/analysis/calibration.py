"""Simulated jobs with a known truth, to measure how often the findings are wrong.

Questions have rates that are normal on the logit scale around the shape's rate; regions may differ question
by question, one of them may be shifted as a whole, and answers may be missing by region. Every job is
assessed by the functions that make the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from beacon.analysis.family import call_of, q_values
from beacon.analysis.pair import Cluster, Counts, PairTest, compare
from beacon.analysis.power import SPREAD, intercept

Rates = NDArray[np.float64]
LEVELS = (0.01, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Shape:
    """`rate` is the mean rate of all regions but the last, `shifted_rate` that of the last region of the
    first model (None: the same). `interaction` is the standard deviation, on the logit scale, of what each
    region adds on each question. `missing` is the chance of a missing answer, by region."""

    questions: int
    repeats: int
    rate: float
    missing: tuple[float, ...] = (0.0, 0.0, 0.0)
    shifted_rate: float | None = None
    interaction: float = 0.0
    models: int = 1
    spread: float = SPREAD

    @property
    def regions(self) -> int:
        return len(self.missing)

    def __str__(self) -> str:
        parts = [f"Q {self.questions}", f"R {self.repeats}", f"rate {self.rate:g}"]
        if self.shifted_rate is not None:
            parts.append(f"to {self.shifted_rate:.3f}")
        if self.interaction:
            parts.append(f"interaction {self.interaction:g}")
        if any(self.missing):
            parts.append("missing " + "/".join(f"{share:g}" for share in self.missing))
        if self.models > 1:
            parts.append(f"{self.models} models")
        return ", ".join(parts)


@dataclass(slots=True)
class Tally:
    """Counts over simulated jobs. A pair is real where its arms' mean rates differ by design."""

    jobs: int = 0
    pairs: int = 0
    null_pairs: int = 0
    any_finding: int = 0
    any_false: int = 0
    false_share: float = 0.0
    found: int = 0
    real: int = 0
    contradictions: int = 0
    covers_pack: int = 0
    covers_population: int = 0
    pack_interval_covers: int = 0
    pack_intervals: int = 0
    negligible: int = 0
    small_p: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))

    def add(self, other: Tally) -> None:
        for name in self.__slots__:
            if name != "small_p":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        for level, count in other.small_p.items():
            self.small_p[level] += count


def simulate(
    shape: Shape, jobs: int, *, draws: int, seed: int, alpha: float = 0.05, smallest_effect: float = 0.05
) -> Tally:
    """Assess `jobs` jobs of this shape; the same seed gives the same jobs."""
    rng = np.random.default_rng(seed)
    tally = Tally()
    for number in range(jobs):
        _assess(shape, list(_pairs(shape, rng)), tally, (draws, seed + number, alpha, smallest_effect))
    return tally


@dataclass(frozen=True, slots=True)
class _Pair:
    """The counts of one pair with its truths: the pack's own average and that of all such questions."""

    clusters: list[Cluster]
    pack: float
    population: float
    real: bool


def _pairs(shape: Shape, rng: np.random.Generator) -> Iterator[_Pair]:
    for model in range(shape.models):
        rates, means = _rates(shape, rng, shifted=model == 0)
        asked = rng.binomial(shape.repeats, 1 - np.array(shape.missing), (shape.questions, shape.regions))
        marked = rng.binomial(asked, rates)
        for a, b in combinations(range(shape.regions), 2):
            used = [q for q in range(shape.questions) if asked[q, a] and asked[q, b]]
            clusters: list[Cluster] = [
                (Counts(int(marked[q, a]), int(asked[q, a]), int(marked[q, b]), int(asked[q, b])),) for q in used
            ]
            pack = float(np.mean(rates[used, b] - rates[used, a])) if used else 0.0
            yield _Pair(clusters, pack, means[b] - means[a], means[a] != means[b])


def _rates(shape: Shape, rng: np.random.Generator, *, shifted: bool) -> tuple[Rates, list[float]]:
    """Of every question in every region, and the regions' means over all such questions.

    With an interaction the spread over questions within a region is the larger; the mean rate is kept.
    """
    total = float(np.hypot(shape.spread, shape.interaction))
    means = [shape.rate] * shape.regions
    if shifted and shape.shifted_rate is not None:
        means[-1] = shape.shifted_rate
    centres = np.array([intercept(mean, total) for mean in means])
    questions = rng.normal(0, shape.spread, (shape.questions, 1))
    logits = centres + questions + rng.normal(0, 1, (shape.questions, shape.regions)) * shape.interaction
    return 1 / (1 + np.exp(-logits)), means


def _assess(shape: Shape, pairs: list[_Pair], tally: Tally, how: tuple[int, int, float, float]) -> None:
    draws, seed, alpha, smallest_effect = how
    tested: list[tuple[_Pair, PairTest]] = []
    for pair in pairs:
        test = compare(pair.clusters, alpha=alpha, draws=draws, seed=seed)
        if test is not None:
            tested.append((pair, test))
    false = found = 0
    for (pair, test), q in zip(tested, q_values([test.p for _, test in tested]), strict=True):
        call = call_of(q, test.interval, alpha=alpha, smallest_effect=smallest_effect)
        is_difference = call == "difference"
        excludes_0 = not test.interval[0] <= 0 <= test.interval[1]
        tally.contradictions += is_difference and not excludes_0
        tally.negligible += call == "negligible"
        found += is_difference
        false += is_difference and not pair.real
        tally.real += pair.real
        tally.found += is_difference and pair.real
        _cover(pair, test, tally)
    tally.jobs += 1
    tally.any_finding += found > 0
    tally.any_false += false > 0
    tally.false_share += false / found if found else 0.0


def _cover(pair: _Pair, test: PairTest, tally: Tally) -> None:
    tally.pairs += 1
    tally.covers_pack += test.interval[0] <= pair.pack <= test.interval[1]
    tally.covers_population += test.interval[0] <= pair.population <= test.interval[1]
    if test.interval_pack is not None:
        tally.pack_intervals += 1
        tally.pack_interval_covers += test.interval_pack[0] <= pair.pack <= test.interval_pack[1]
    if not pair.real:
        tally.null_pairs += 1
        for level in LEVELS:
            tally.small_p[level] += test.p <= level
