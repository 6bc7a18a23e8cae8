"""Comparisons tested and gathered into families: what each shows, and with which q."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beacon.analysis import pair
from beacon.analysis.cells import Tally
from beacon.analysis.comparison import Comparison, Table, table
from beacon.analysis.family import Call, call_of, q_values
from beacon.analysis.measure import RateMeasure
from beacon.analysis.pair import PairTest
from beacon.analysis.settings import MINIMUM_CLUSTERS, AnalysisSettings
from beacon.analysis.texts import LIKE, Library, TextTest, compare_texts


@dataclass(frozen=True, slots=True)
class AssessedRate:
    """A comparison of rates that was tested; `q` and `call` come from its family."""

    comparison: Comparison
    measure: RateMeasure
    table: Table
    test: PairTest
    family: str
    q: float
    call: Call


@dataclass(frozen=True, slots=True)
class AssessedText:
    """Likewise of texts. There is no smallest distance that matters, so that none is negligible."""

    comparison: Comparison
    measure: str
    test: TextTest
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


def assess_rates(
    planned: Sequence[Comparison], measure: RateMeasure, counts: Tally, settings: AnalysisSettings
) -> tuple[list[AssessedRate], list[NotTested]]:
    """The planned comparisons by one measure."""
    families: dict[str, list[tuple[Comparison, Table, PairTest]]] = {}
    not_tested: list[NotTested] = []
    for comparison in planned:
        counted = table(comparison, counts)
        test = pair.compare(counted.clusters, alpha=settings.alpha, draws=settings.draws, seed=settings.seed)
        if test is None:
            not_tested.append(NotTested(comparison, measure.name, _too_few(comparison, len(counted.clusters))))
        else:
            family = "/".join((measure.name, *comparison.family))
            families.setdefault(family, []).append((comparison, counted, test))
    assessed = []
    for family, members in families.items():
        adjusted = q_values([test.p for _, _, test in members])
        for (comparison, counted, test), q in zip(members, adjusted, strict=True):
            call = call_of(q, test.interval, alpha=settings.alpha, smallest_effect=settings.smallest_effect)
            assessed.append(AssessedRate(comparison, measure, counted, test, family, q, call))
    return assessed, not_tested


def assess_texts(
    planned: Sequence[Comparison], measure: str, library: Library, settings: AnalysisSettings
) -> tuple[list[AssessedText], list[NotTested]]:
    """The texts of those comparisons whose arms were asked in one language by the same model."""
    families: dict[str, list[tuple[Comparison, TextTest]]] = {}
    not_tested: list[NotTested] = []
    for comparison in planned:
        if comparison.factor not in LIKE or comparison.level != "overall":
            continue
        if comparison.language_bound:
            not_tested.append(NotTested(comparison, measure, "the groups were asked in different languages"))
            continue
        test = compare_texts(comparison, library, alpha=settings.alpha, draws=settings.draws, seed=settings.seed)
        if test is None:
            reason = f"needs {MINIMUM_CLUSTERS} questions with two texts or more in both"
            not_tested.append(NotTested(comparison, measure, reason))
        else:
            families.setdefault("/".join((measure, *comparison.family)), []).append((comparison, test))
    assessed = []
    for family, members in families.items():
        adjusted = q_values([test.p for _, test in members])
        for (comparison, test), q in zip(members, adjusted, strict=True):
            call: Call = "difference" if q <= settings.alpha else "undecided"
            assessed.append(AssessedText(comparison, measure, test, family, q, call))
    return assessed, not_tested


def _too_few(comparison: Comparison, clusters: int) -> str:
    noun = "questions" if comparison.level == "overall" else "models"
    return f"needs {MINIMUM_CLUSTERS} {noun} answered in both, has {clusters}"
