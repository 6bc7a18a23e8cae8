"""The report of a job: `analyse(observations, settings) -> Report`; `Report.to_document()` is plain JSON.

Pure: the same observations and settings give the same report, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.assess import Assessed, NotTested, assess, finding
from beacon.analysis.cells import by_cell
from beacon.analysis.finding import Finding
from beacon.analysis.measure import RateMeasure, measures_for
from beacon.analysis.observation import Observation, in_order
from beacon.analysis.quality import data_quality, notices
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
    assessed: list[Assessed] = []
    not_tested: list[NotTested] = []
    for measure in measures:
        tested, left = assess(cells, measure, settings)
        assessed += tested
        not_tested += left
    quality = data_quality(ordered)
    findings = sorted((finding(item, settings) for item in assessed), key=strength)
    return Report(
        method=METHOD,
        settings=settings,
        measures=measures,
        notices=tuple(notices(quality)),
        findings=tuple(findings),
        not_tested=tuple(not_tested),
        families=tuple(_families(findings)),
        rates={"cells": cell_rates(cells, measures, settings), "arms": arm_rates(cells, measures, settings)},
        data_quality=quality,
    )


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
