"""The report of a job: `analyse(observations, settings) -> Report`; `Report.to_document()` is plain JSON.

Pure: the same observations and settings give the same report, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.assess import NotTested, assess_rates, assess_texts
from beacon.analysis.cells import Cells, by_cell, tally
from beacon.analysis.circumstances import Circumstances, circumstances
from beacon.analysis.comparison import Comparison, comparisons
from beacon.analysis.embeddings import Embeddings
from beacon.analysis.finding import Finding
from beacon.analysis.findings import rate_finding, text_finding
from beacon.analysis.limits import limits, not_found, summary
from beacon.analysis.measure import EMBEDDING_DISTANCE, OF_TEXTS, TEXT_DISTANCE, RateMeasure, measures_for
from beacon.analysis.metrics import Metric, metrics
from beacon.analysis.metrics import to_document as metric_document
from beacon.analysis.observation import Observation, in_order
from beacon.analysis.quality import data_quality, notices
from beacon.analysis.questions import QuestionTest, question_family, question_findings, question_tests
from beacon.analysis.rates import arm_rates, cell_rates
from beacon.analysis.settings import METHOD, AnalysisSettings
from beacon.analysis.texts import Library

SCHEMA = "beacon.report/v1"


@dataclass(frozen=True, slots=True)
class Report:
    """`notices` are sentences that stand above the findings; `findings` holds every comparison over questions
    that was tested, the strongest difference first, and the single questions that differ; `not_tested` what
    could not be compared, with the reason; `questions` every test of a single question."""

    method: str
    settings: AnalysisSettings
    measures: tuple[RateMeasure, ...]
    embedding_model: str | None
    notices: tuple[str, ...]
    summary: str
    findings: tuple[Finding, ...]
    not_tested: tuple[NotTested, ...]
    not_found: tuple[str, ...]
    families: tuple[dict[str, Any], ...]
    questions: tuple[dict[str, Any], ...]
    metrics: tuple[Metric, ...]
    rates: dict[str, Any]
    data_quality: dict[str, Any]
    limits: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """As plain JSON values."""
        document: dict[str, Any] = plain(
            {
                "schema": SCHEMA,
                "method": self.method,
                "settings": asdict(self.settings),
                "embedding_model": self.embedding_model,
                "measures": {measure.name: measure.definition for measure in self.measures},
                "notices": self.notices,
                "summary": self.summary,
                "findings": [finding.to_document() for finding in self.findings],
                "not_tested": [item.to_document() for item in self.not_tested],
                "not_found": self.not_found,
                "families": self.families,
                "questions": self.questions,
                "metrics": [metric_document(metric) for metric in self.metrics],
                "rates": self.rates,
                "data_quality": self.data_quality,
                "limits": self.limits,
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


def analyse(
    observations: Sequence[Observation], settings: AnalysisSettings, embeddings: Embeddings | None = None
) -> Report:
    """Texts are compared by `embeddings` too, where they are given.

    Raises InputError where an execution stands twice, or an answer has no embedding.
    """
    ordered = in_order(observations)
    cells = by_cell(ordered)
    measures = measures_for(ordered)
    planned = comparisons(cells, settings)
    around = {comparison: circumstances(comparison, cells, settings) for comparison in planned}
    found = _Found([], [], [])
    for measure in measures:
        _add_rates(found, cells, around, measure, settings)
    if any(observation.answer for observation in ordered):
        _add_texts(found, TEXT_DISTANCE, Library(cells), around, settings)
        if embeddings is not None:
            _add_texts(found, EMBEDDING_DISTANCE, Library(cells, embeddings.of), around, settings)
    found.findings.sort(key=strength)
    quality = data_quality(ordered)
    return Report(
        method=METHOD,
        settings=settings,
        measures=measures,
        embedding_model=embeddings.model if embeddings else None,
        notices=tuple(notices(quality)),
        summary=summary(found.findings),
        findings=tuple(found.findings),
        not_tested=tuple(found.not_tested),
        not_found=tuple(not_found(found.findings, found.questions, settings)),
        families=tuple(_families(found)),
        questions=tuple(found.questions),
        metrics=tuple(metrics(cells, found.findings)),
        rates={"cells": cell_rates(cells, measures, settings), "arms": arm_rates(cells, measures, settings)},
        data_quality=quality,
        limits=tuple(limits(found.findings, quality, settings)),
    )


Around = Mapping[Comparison, Circumstances]


@dataclass(frozen=True, slots=True)
class _Found:
    findings: list[Finding]
    not_tested: list[NotTested]
    questions: list[dict[str, Any]]


def _add_rates(found: _Found, cells: Cells, around: Around, measure: RateMeasure, settings: AnalysisSettings) -> None:
    counts = tally(cells, measure)
    tests = question_tests(cells, counts, settings)
    single = question_findings(tests, measure, _regions_of_models(around), cells, counts, settings)
    assessed, left = assess_rates(list(around), measure, counts, settings)
    found.findings.extend(single)
    for item in assessed:
        differing = _differing(single, item.comparison)
        found.findings.append(rate_finding(item, around[item.comparison], cells, counts, differing, settings))
    found.not_tested.extend(left)
    found.questions.extend(_question_summary(tests, single, measure, settings))


def _add_texts(found: _Found, measure: str, library: Library, around: Around, settings: AnalysisSettings) -> None:
    assessed, left = assess_texts(list(around), measure, library, settings)
    found.findings.extend(text_finding(item, around[item.comparison], settings) for item in assessed)
    found.not_tested.extend(left)


def _regions_of_models(around: Around) -> dict[tuple[str, tuple[str, str]], Circumstances]:
    """What else differs between two regions of a model, under the personas whose prompt is the same."""
    return {
        (comparison.fixed("model") or "", comparison.groups): found
        for comparison, found in around.items()
        if _of_regions(comparison)
    }


def _of_regions(comparison: Comparison) -> bool:
    overall = comparison.factor == "region" and comparison.level == "overall"
    return overall and comparison.fixed("persona") is None


def _differing(single: Sequence[Finding], comparison: Comparison) -> list[str]:
    if not _of_regions(comparison):
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
_FACTORS = {"region": 0, "run": 1, "persona": 2, "language": 3, "model": 4}
_LEVELS = {"overall": 0, "pooled": 1, "question": 2}


def strength(item: Finding) -> tuple[int, int, int, bool, float, float, str]:
    """Differences first, those of regions before others, averages before single questions, what was said
    before how it was worded; among these the one whose interval stays furthest from 0."""
    low, high = item.interval or (0.0, 0.0)
    nearest = max(low, -high)
    kind = (_CALLS[item.call], _FACTORS[item.factor], _LEVELS[item.level], item.measure in OF_TEXTS)
    return *kind, -nearest, -abs(item.effect), item.id


def _families(found: _Found) -> list[dict[str, Any]]:
    """How each family came out; on single questions a test is of one question of one model."""
    families: dict[str, list[Finding]] = {}
    for item in found.findings:
        families.setdefault(item.family, []).append(item)
    for row in found.questions:
        families.setdefault(question_family(row["measure"]), [])
    told = []
    for name, members in sorted(families.items()):
        tests = [row["q"] for row in found.questions if question_family(row["measure"]) == name]
        tests = tests or [member.q for member in members]
        calls = {call: sum(1 for member in members if member.call == call) for call in _CALLS}
        told.append({"family": name, "tests": len(tests), **calls, "smallest_q": min(tests)})
    return told
