"""What jobs found, in two numbers, kept so that a list need not read whole reports again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from beacon.store import reports, summaries
from beacon.store.database import Database
from beacon.store.summaries import ReportReference
from beacon.web import lenient

MOST_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """Of one report: how many comparisons were made, and how many are differences."""

    reference: ReportReference
    differences: int
    comparisons: int


class Summaries:
    """Reports never change, so what is known of one is kept by its version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[tuple[str, int], Found] = OrderedDict()

    async def of(self, job_ids: Collection[str]) -> dict[str, Found]:
        """For each of the jobs that has a report."""
        references = await self._database.read(summaries.newest_reports, job_ids)
        return {job_id: await self._found(reference) for job_id, reference in references.items()}

    async def findings_of(self, job_id: str) -> int | None:
        """How many differences the job's newest report holds; None where it has no report."""
        found = (await self.of([job_id])).get(job_id)
        return None if found is None else found.differences

    async def _found(self, reference: ReportReference) -> Found:
        key = (reference.job_id, reference.version)
        known = self._kept.get(key)
        if known is None:
            document = await self._database.read(reports.latest_report, *key)
            calls = [finding.get("call") for finding in lenient.mappings(document.get("findings"))]
            known = self._kept[key] = Found(reference, calls.count("difference"), len(calls))
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return known
