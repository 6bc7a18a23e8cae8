"""The report of a job: `analyse(observations, settings) -> Report`; `Report.to_document()` is plain JSON.

Pure: the same observations and settings give the same report, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.assess import NotTested, assess_rates, assess_texts
from beacon.analysis.cells import by_cell, tally
from beacon.analysis.circumstances import Circumstances, circumstances
from beacon.analysis.comparison import Comparison, comparisons
from beacon.analysis.finding import Finding
from beacon.analysis.findings import rate_finding, text_finding
from beacon.analysis.measure import RateMeasure, measures_for
from beacon.analysis.observation import Observation, in_order
from beacon.analysis.quality import data_quality, notices
from beacon.analysis.questions import QuestionTest, question_findings, question_tests
from beacon.analysis.rates import arm_rates, cell_rates
from beacon.analysis.settings import METHOD, AnalysisSettings

SCHEMA = "beacon.report/v1"


@dataclass(frozen=True, slots=True)
class Report:
    """`findings` holds every comparison that was tested, the strongest difference first; `not_tested` those
    that could not be, with the reason. `notices` are sentences that stand above the findings."""

    method: str
    settings: AnalysisSettings
    measures: tuple[RateMeasure, ...]
    notices: tuple[str, ...]
    findings: tuple[Finding, ...]
    not_tested: tuple[NotTested, ...]
    families: tuple[dict[str, Any], ...]
    questions: tuple[dict[str, Any], ...]
    rates: dict[str, Any]
    data_quality: dict[str, Any]

    def to_document(self) -> dict[str, Any]:
        """As plain JSON values."""
        document: dict[str, Any] = plain(
            {
                "schema": SCHEMA,
                "method": self.method,
                "settings": asdict(self.settings),
                "measures": {measure.name: measure.definition for measure in self.measures},
                "notices": self.notices,
                "findings": [finding.to_document() for finding in self.findings],
                "not_tested": [item.to_document() for item in self.not_tested],
                "families": self.families,
                "questions": self.questions,
                "rates": self.rates,
                "data_quality": self.data_quality,
            }
        )
        return document


def plain(value: Any) -> Any:
    """Tuples and sets as lists, mappings as dicts."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    return value


def analyse(observations: Sequence[Observation], settings: AnalysisSettings) -> Report:
    """Raises InputError where an execution stands twice."""
    ordered = in_order(observations)
    cells = by_cell(ordered)
    measures = measures_for(ordered)
    planned = comparisons(cells, settings)
    around = {comparison: circumstances(comparison, cells, settings) for comparison in planned}
    findings: list[Finding] = []
    not_tested: list[NotTested] = []
    questions: list[dict[str, Any]] = []
    for measure in measures:
        counts = tally(cells, measure)
        tests = question_tests(cells, counts, settings)
        single = question_findings(tests, measure, _regions_of_models(around), cells, counts, settings)
        assessed, left = assess_rates(planned, measure, counts, settings)
        findings += single
        findings += [
            rate_finding(item, around[item.comparison], cells, counts, _differing(single, item.comparison), settings)
            for item in assessed
        ]
        not_tested += left
        questions += _question_summary(tests, single, measure, settings)
    if any(observation.answer for observation in ordered):
        texts, left = assess_texts(planned, cells, settings)
        findings += [text_finding(item, around[item.comparison], settings) for item in texts]
        not_tested += left
    findings.sort(key=strength)
    quality = data_quality(ordered)
    return Report(
        method=METHOD,
        settings=settings,
        measures=measures,
        notices=tuple(notices(quality)),
        findings=tuple(findings),
        not_tested=tuple(not_tested),
        families=tuple(_families(findings)),
        questions=tuple(questions),
        rates={"cells": cell_rates(cells, measures, settings), "arms": arm_rates(cells, measures, settings)},
        data_quality=quality,
    )


def _regions_of_models(
    around: Mapping[Comparison, Circumstances],
) -> dict[tuple[str, tuple[str, str]], Circumstances]:
    """What else differs between two regions of a model, under the personas whose prompt is the same."""
    return {
        (dict(comparison.context)["model"], comparison.groups): found
        for comparison, found in around.items()
        if comparison.factor == "region" and comparison.level == "overall" and comparison.fixed("persona") is None
    }


def _differing(single: Sequence[Finding], comparison: Comparison) -> list[str]:
    if comparison.factor != "region" or comparison.level != "overall" or comparison.fixed("persona") is not None:
        return []
    model = comparison.fixed("model")
    return [f.question or "" for f in single if f.model == model and f.groups == comparison.groups]


def _question_summary(
    tests: Sequence[QuestionTest], single: Sequence[Finding], measure: RateMeasure, settings: AnalysisSettings
) -> list[dict[str, Any]]:
    """Every question test by its result, so that what was not found is told too."""
    named = {(f.model, f.question) for f in single}
    return [
        {
            "measure": measure.name,
            "model": test.model,
            "question": test.question,
            "p": test.p,
            "q": test.q,
            "differs": test.q <= settings.alpha,
            "pair_named": (test.model, test.question) in named,
        }
        for test in tests
    ]


_CALLS = {"difference": 0, "undecided": 1, "negligible": 2}


def strength(item: Finding) -> tuple[int, float, float, str]:
    """Differences first, then by the end of the interval nearer to 0, then by size."""
    low, high = item.interval or (0.0, 0.0)
    nearest = max(low, -high)
    return _CALLS[item.call], -nearest, -abs(item.effect), item.id


def _families(findings: list[Finding]) -> list[dict[str, Any]]:
    families: dict[str, list[Finding]] = {}
    for item in findings:
        families.setdefault(item.family, []).append(item)
    return [
        {
            "family": name,
            "tests": len(members),
            **{call: sum(1 for member in members if member.call == call) for call in _CALLS},
            "smallest_q": min(member.q for member in members),
        }
        for name, members in sorted(families.items())
    ]
