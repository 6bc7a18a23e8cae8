"""Shares by model and region, over everything else that the filters leave: what the map shows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from beacon.domain.spec import JobSpec
from beacon.web import lenient
from beacon.web.pages.findings_view import Chosen, Shaded

MOST_MAPS = 4
"""Models on one page; one is chosen where a job has more."""


@dataclass(frozen=True, slots=True)
class RegionShare(Shaded):
    """Of classified answers, from 0 to 1; None where there is none. `interval` is known where one arm is behind it."""

    model: str
    region: str
    share: float | None
    interval: tuple[float, float] | None
    answers: int
    missing: int


@dataclass(frozen=True, slots=True)
class Regional:
    """One model in every region, in the spec's order."""

    model: str
    shares: list[RegionShare]


def regional(document: dict[str, Any], spec: JobSpec, measure: str, chosen: Chosen) -> list[Regional]:
    """Of the models and regions that the filters leave; of one question where one is chosen."""
    rows = lenient.mappings(lenient.mapping(document.get("rates")).get("cells" if chosen.question else "arms"))
    behind: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if chosen.question in ("", str(row.get("question_id") or row.get("question") or "")):
            behind[str(row.get("model")), str(row.get("region"))].append(row)
    models = [model for model in spec.models if chosen.model in ("", model)]
    regions = [region for region in spec.regions if chosen.region in ("", region)]
    return [Regional(m, [_share(m, r, behind[m, r], measure) for r in regions]) for m in models]


def _share(model: str, region: str, rows: list[dict[str, Any]], measure: str) -> RegionShare:
    inside = answers = executions = 0
    for row in rows:
        told, classified = lenient.mapping(row.get(measure)), lenient.count(row.get("answers")) or 0
        inside += lenient.count(told.get("in_class")) or 0
        answers += classified
        executions += lenient.count(row.get("executions")) or classified
    single = lenient.mapping(rows[0].get(measure)) if len(rows) == 1 else {}
    share = lenient.number(single.get("rate"))
    if share is None and answers:
        share = inside / answers
    interval = lenient.pair(single.get("interval"))
    return RegionShare(model, region, share if answers else None, interval, answers, executions - answers)
