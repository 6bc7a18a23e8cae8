"""A baseline and one later job, as pages tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from beacon.errors import BeaconError
from beacon.store.jobs import Job
from beacon.web import lenient
from beacon.web.pages.findings_view import DIFFERENCE, NEGLIGIBLE, Chosen, Finding, findings_of
from beacon.web.pages.job import question_text
from beacon.web.portal import Portal
from beacon.web.text import words


@dataclass(frozen=True)
class Comparison:
    """Read from the analyst's document, whose shape may be another version's; cut to what the filters leave.

    Without a document it is still being worked out, or `error` says why there is none.
    """

    other: Job
    document: dict[str, Any] | None
    texts: dict[str, str] = field(default_factory=dict)
    chosen: Chosen = field(default_factory=Chosen)
    error: BeaconError | None = None

    @cached_property
    def every(self) -> list[Finding]:
        return findings_of(self.report)

    @cached_property
    def findings(self) -> list[Finding]:
        return [finding for finding in self.every if self.chosen.takes(finding)]

    @property
    def otherwise(self) -> list[str]:
        """What differs in how the two jobs were done."""
        return lenient.texts((self.document or {}).get("differences"))

    @property
    def report(self) -> dict[str, Any]:
        return lenient.mapping((self.document or {}).get("report"))

    @property
    def notices(self) -> list[str]:
        return lenient.texts(self.report.get("notices"))

    @property
    def not_tested(self) -> int:
        return len(lenient.mappings(self.report.get("not_tested")))

    @property
    def smallest(self) -> float | None:
        return lenient.number(lenient.mapping(self.report.get("settings")).get("smallest_effect"))

    @property
    def alpha(self) -> float | None:
        return lenient.number(lenient.mapping(self.report.get("settings")).get("alpha"))

    @property
    def changed(self) -> list[Finding]:
        """What is averaged over questions stands before single questions."""
        found = [finding for finding in self.findings if finding.call == DIFFERENCE]
        return sorted(found, key=lambda finding: finding.question is not None)

    @property
    def others(self) -> list[Finding]:
        found = [finding for finding in self.findings if finding.call != DIFFERENCE]
        return sorted(found, key=lambda finding: (finding.question is not None, finding.call == NEGLIGIBLE))


async def compared(portal: Portal, base: Job, later: Sequence[Job], chosen: Chosen) -> list[Comparison]:
    """Each of the later jobs, all of them over, with the baseline. Raises NotFoundError."""
    if portal.comparisons is None:
        return []
    found = []
    for job, outcome in zip(later, await portal.comparisons.of(base.id, [job.id for job in later]), strict=True):
        texts = {q.id: question_text(q) for q in (await portal.boards.spec(job.id)).questions}
        if isinstance(outcome, BeaconError):
            found.append(Comparison(job, None, texts, chosen, outcome))
        else:
            found.append(Comparison(job, outcome, texts, chosen))
    return found


def options(comparisons: Sequence[Comparison]) -> dict[str, list[tuple[str, str]]]:
    """What the findings can be narrowed to, by filter."""
    every = [finding for comparison in comparisons for finding in comparison.every]
    texts = {key: text for comparison in comparisons for key, text in comparison.texts.items()}

    def seen(values: list[str | None]) -> list[str]:
        return sorted({value for value in values if value})

    return {
        "model": [(name, name) for name in seen([finding.model for finding in every])],
        "region": [(name, name) for name in seen([region_of(finding) for finding in every])],
        "question": [(name, texts.get(name, name)[:80]) for name in seen([finding.question for finding in every])],
        "measure": [(name, words(name)) for name in seen([finding.measure for finding in every])],
    }


def region_of(finding: Finding) -> str | None:
    return lenient.text(finding.raw.get("region"))
