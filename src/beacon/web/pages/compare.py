"""Later jobs against an earlier one: what was done otherwise first, then what changed and what did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from beacon.domain.states import JOB_OVER
from beacon.store import jobs
from beacon.store.jobs import Job
from beacon.web import lenient
from beacon.web.pages.findings import reach_of
from beacon.web.pages.findings_view import DIFFERENCE, NEGLIGIBLE, Finding, findings_of
from beacon.web.pages.job import question_text
from beacon.web.pages.render import url
from beacon.web.portal import Here, Portal
from beacon.web.problems import RefusedError
from beacon.web.text import day, moment

router = APIRouter(include_in_schema=False)
MOST_COMPARED = 5
"""Later jobs on one page; each takes an analysis of its own."""
MOST_OFFERED = 100
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """The baseline and one later job, read from the analyst's document, whose shape may be another version's."""

    other: Job
    document: dict[str, Any]
    findings: list[Finding]
    texts: dict[str, str]

    @property
    def otherwise(self) -> list[str]:
        """What differs in how the two jobs were done."""
        return lenient.texts(self.document.get("differences"))

    @property
    def report(self) -> dict[str, Any]:
        return lenient.mapping(self.document.get("report"))

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


@router.get("/compare")
async def compare(
    request: Request,
    portal: Here,
    chosen: Annotated[list[str] | None, Query(alias="jobs", max_length=MOST_COMPARED + 1)] = None,
) -> Response:
    """`jobs` names the baseline and then the later jobs, with commas or one by one."""
    named = list(dict.fromkeys(name.strip() for given in chosen or [] for name in given.split(",") if name.strip()))
    if len(named) > MOST_COMPARED + 1:
        what = f"{len(named)} jobs are too many to compare on one page"
        raise RefusedError(422, what, where="jobs", todo=f"name a baseline and at most {MOST_COMPARED} later jobs")
    found = [await portal.database.read(jobs.get, name) for name in named]
    unfinished = [job for job in found if not job.over]
    ready = len(found) > 1 and not unfinished and portal.drift is not None
    shown = [await _compared(portal, found[0], job) for job in found[1:]] if ready else []
    return portal.renderer.page(
        request,
        "compare.html",
        nav="/compare",
        jobs=found,
        unfinished=unfinished,
        offered=portal.drift is not None,
        options=await _options(portal, found),
        compared=shown,
        reach=reach_of([finding for one in shown for finding in one.changed[:MOST_SHOWN]]),
        others_reach=reach_of([finding for one in shown for finding in one.others[:MOST_SHOWN]]),
        most=MOST_SHOWN,
        answers=_answers,
    )


async def _compared(portal: Portal, base: Job, other: Job) -> Comparison:
    assert portal.drift is not None
    document = await portal.drift(base.id, other.id)
    texts = {q.id: question_text(q) for q in (await portal.boards.spec(other.id)).questions}
    return Comparison(other, document, findings_of(lenient.mapping(document.get("report"))), texts)


async def _options(portal: Portal, named: list[Job]) -> list[tuple[str, str]]:
    """Jobs that are over, newest first, and those that the address names."""
    recent = await portal.database.read(
        jobs.list_page, limit=MOST_OFFERED, statuses=[status.value for status in JOB_OVER]
    )
    every = {job.id: job for job in [*recent, *named]}
    now = portal.clock.wall()
    return [
        (job.id, f"{job.name[:60]}, {day(job.created_at, now)} {moment(job.created_at)} ({job.id})")
        for job in every.values()
    ]


def _answers(job: Job, finding: Finding) -> str:
    """The address of the answers of one job that stand behind a finding."""
    region = lenient.text(finding.raw.get("region"))
    return url(f"/jobs/{job.id}/executions", question=finding.question, model=finding.model, region=region)
