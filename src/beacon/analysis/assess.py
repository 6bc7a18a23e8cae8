"""Comparisons tested, gathered into families, and turned into findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beacon.analysis import pair
from beacon.analysis.cells import Cells, tally
from beacon.analysis.comparison import Comparison, Table, comparisons, table
from beacon.analysis.family import Call, call_of, q_values
from beacon.analysis.finding import Finding, finding_id
from beacon.analysis.measure import RateMeasure
from beacon.analysis.pair import PairTest
from beacon.analysis.sentence import Told, sentence, told_first
from beacon.analysis.settings import MINIMUM_CLUSTERS, AnalysisSettings


@dataclass(frozen=True, slots=True)
class Assessed:
    """A comparison that was tested; `q` and `call` come from its family."""

    comparison: Comparison
    measure: RateMeasure
    table: Table
    test: PairTest
    family: str
    q: float
    call: Call


@dataclass(frozen=True, slots=True)
class NotTested:
    comparison: Comparison
    measure: str
    reason: str

    def to_document(self) -> dict[str, Any]:
        return {
            "factor": self.comparison.factor,
            "level": self.comparison.level,
            "measure": self.measure,
            **dict(self.comparison.context),
            "groups": list(self.comparison.groups),
            "reason": self.reason,
        }


def assess(
    cells: Cells, measure: RateMeasure, settings: AnalysisSettings
) -> tuple[list[Assessed], list[NotTested]]:
    """Every comparison of the job by one measure."""
    counts = tally(cells, measure)
    families: dict[str, list[tuple[Comparison, Table, PairTest]]] = {}
    not_tested: list[NotTested] = []
    for comparison in comparisons(cells, settings):
        counted = table(comparison, counts)
        test = pair.compare(counted.clusters, alpha=settings.alpha, draws=settings.draws, seed=settings.seed)
        if test is None:
            not_tested.append(NotTested(comparison, measure.name, _too_few(comparison, counted)))
        else:
            family = "/".join((measure.name, *comparison.family))
            families.setdefault(family, []).append((comparison, counted, test))
    assessed = []
    for family, members in families.items():
        for (comparison, counted, test), q in zip(members, q_values([t.p for _, _, t in members]), strict=True):
            call = call_of(q, test.interval, alpha=settings.alpha, smallest_effect=settings.smallest_effect)
            assessed.append(Assessed(comparison, measure, counted, test, family, q, call))
    return assessed, not_tested


def _too_few(comparison: Comparison, counted: Table) -> str:
    noun = "questions" if comparison.level == "overall" else "models"
    return f"needs {MINIMUM_CLUSTERS} {noun} answered in both, has {len(counted.clusters)}"


def finding(assessed: Assessed, settings: AnalysisSettings) -> Finding:
    comparison, test = assessed.comparison, assessed.test
    confounded_with = _confounds(comparison)
    told = Told(
        did=assessed.measure.did,
        effect=test.effect,
        interval=test.interval,
        q=assessed.q,
        n=test.n,
        clusters=test.clusters,
        direction=test.direction,
        call=assessed.call,
        alpha=settings.alpha,
        smallest_effect=settings.smallest_effect,
    )
    return Finding(
        id=identify(comparison, assessed.measure.name, None),
        factor=comparison.factor,
        level=comparison.level,
        family=assessed.family,
        measure=assessed.measure.name,
        model=comparison.fixed("model"),
        region=comparison.fixed("region"),
        persona=comparison.fixed("persona"),
        language=comparison.fixed("language"),
        question=None,
        groups=comparison.groups,
        effect=test.effect,
        interval=test.interval,
        interval_pack=test.interval_pack,
        p=test.p,
        q=assessed.q,
        n=test.n,
        in_class=test.in_class,
        rates=test.rates,
        clusters=test.clusters,
        clusters_up=test.direction.up,
        clusters_down=test.direction.down,
        clusters_equal=test.direction.equal,
        call=assessed.call,
        sentence=told_first(comparison, confounded_with, None) + sentence(comparison, told),
        confounded_with=confounded_with,
    )


def identify(comparison: Comparison, measure: str, question: str | None) -> str:
    context = [comparison.fixed(name) for name in ("model", "region", "persona", "language")]
    return finding_id(comparison.factor, comparison.level, measure, *context, question, *sorted(comparison.groups))


def _confounds(comparison: Comparison) -> tuple[str, ...]:
    found = []
    if comparison.language_bound:
        found.append("language")
    if comparison.factor == "region" and comparison.fixed("persona") is not None:
        found.append("prompt")
    return tuple(found)
