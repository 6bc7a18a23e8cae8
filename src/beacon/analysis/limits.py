"""What the report of this job cannot say, and what it did not find, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beacon.analysis.agreement import EVERYONE
from beacon.analysis.finding import Finding
from beacon.analysis.measure import OF_TEXTS, TEXT_DISTANCE
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.words import counted, percent, points


def limits(findings: Sequence[Finding], quality: dict[str, Any], settings: AnalysisSettings) -> list[str]:
    told = [
        "Averages are over the questions asked; packs are chosen, not sampled, so that they do not "
        "stand for all "
        "questions on a subject.",
        "A region is where the answers were served, not where people are.",
    ]
    if quality["repeats"] == 1:
        told.append(
            "One repeat: the variation between repeats is unknown, the questions serve as "
            "replicates, and nothing is "
            "said about a single question."
        )
    if quality["answers"] and quality["upstream_unknown"] == quality["answers"]:
        told.append(
            "No provider said which host served an answer: different routes behind the providers cannot be ruled out."
        )
    elsewhere = {name: count for name, count in quality["region_evidence"].items() if name in {"unknown", "declared"}}
    if elsewhere:
        unproven = sum(elsewhere.values())
        told.append(
            f"Where {counted(unproven, 'execution')} of {quality['executions']:,} ran is known from "
            "the operator's "
            "word at best."
        )
    if any(finding.measure == TEXT_DISTANCE for finding in findings):
        told.append(
            "Texts are compared by wording within one language; engines and settings change wording without "
            "changing content."
        )
    if settings.labels is None:
        told.append("How often the labels are wrong is not known here.")
    told += _agreement(settings)
    told.append(
        f"Differences of less than {points(settings.smallest_effect)} points are taken not to matter; "
        "a comparison "
        "that stays undecided is no evidence that there is no difference."
    )
    return told


_LABELLERS = {EVERYONE: "All who labelled", "person": "People", "import": "Imported labels", "judge": "Judges"}


def _agreement(settings: AnalysisSettings) -> list[str]:
    found = settings.labels.agreement if settings.labels else {}
    return [
        f"{_LABELLERS[name]} agree with a Krippendorff's alpha of "
        + ("unknown size: all their labels are one" if known.alpha is None else f"{known.alpha:.2f}")
        + f" ({counted(known.answers, 'answer')} with two labels or more; 1 is full agreement, 0 that of chance)."
        for name, known in found.items()
    ]


def not_found(
    findings: Sequence[Finding], questions: Sequence[dict[str, Any]], settings: AnalysisSettings
) -> list[str]:
    """By family: how many comparisons were negligible, and what those that stay undecided leave possible."""
    families: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.level != "question":
            families.setdefault(finding.family, []).append(finding)
    told = []
    for name, members in sorted(families.items()):
        undecided = [finding for finding in members if finding.call == "undecided"]
        negligible = sum(finding.call == "negligible" for finding in members)
        if not undecided and not negligible:
            continue
        said = f"{name}: of {counted(len(members), 'comparison')} {len(undecided)} undecided, {negligible} negligible"
        widest = max((_reach(finding) for finding in undecided), default=None)
        if widest is not None and members[0].measure not in OF_TEXTS:
            said += f"; up to {points(widest)} points remain possible in the least certain"
        told.append(said + ".")
    for measure in dict.fromkeys(row["measure"] for row in questions):
        rows = [row for row in questions if row["measure"] == measure]
        differ = sum(row["differs"] for row in rows)
        told.append(
            f"{measure} on single questions: of {counted(len(rows), 'question')} and models tested "
            f"{differ} differ between "
            f"regions at a false-discovery rate of {percent(settings.alpha)}."
        )
    return told


def _reach(finding: Finding) -> float:
    low, high = finding.interval or (0.0, 0.0)
    return max(abs(low), abs(high))


def summary(findings: Sequence[Finding]) -> str:
    """One paragraph: how many comparisons of regions hold, and how many of them are the region's own."""
    tested = [f for f in findings if f.factor == "region" and f.level == "overall" and f.measure not in OF_TEXTS]
    if not tested:
        return "No comparison of regions could be tested."
    differ = [f for f in tested if f.call == "difference"]
    negligible = sum(f.call == "negligible" for f in tested)
    said = (
        f"{len(differ)} of {counted(len(tested), 'comparison')} of regions show a difference, "
        f"{negligible} show that "
        f"there is none that matters, {len(tested) - len(differ) - negligible} stay undecided."
    )
    confounded = [f for f in differ if f.confounded_with]
    if confounded:
        causes = sorted({cause for f in confounded for cause in f.confounded_with})
        said += (
            f" {len(confounded)} of the differences cannot be put down to the region alone: "
            f"{', '.join(causes)} "
            "differed too."
        )
    return said
