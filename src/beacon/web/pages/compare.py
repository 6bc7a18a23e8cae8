"""Later jobs against an earlier one: what was done otherwise first, then what changed and what did not."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from beacon.domain.states import JOB_OVER
from beacon.errors import UnavailableError
from beacon.store import jobs, schedules
from beacon.store.jobs import Job
from beacon.web.figures.effects import effects
from beacon.web.figures.figure import Ending
from beacon.web.pages.comparison import compared, options, region_of
from beacon.web.pages.findings import reach_of
from beacon.web.pages.findings_files import notes_of
from beacon.web.pages.findings_view import Chosen, Finding
from beacon.web.pages.render import url
from beacon.web.portal import Here, Portal
from beacon.web.problems import RefusedError
from beacon.web.text import day, moment

router = APIRouter(include_in_schema=False)
MOST_COMPARED = 5
"""Later jobs on one page; each takes an analysis of its own."""
MOST_OFFERED = 100
MOST_SHOWN = 100


Named = Annotated[list[str] | None, Query(alias="jobs", max_length=MOST_COMPARED + 1)]
_ONE = Annotated[str, Query(max_length=200)]


def chosen_changes(model: _ONE = "", region: _ONE = "", question: _ONE = "", measure: _ONE = "") -> Chosen:
    """The filters of the address."""
    return Chosen(model, region, question, "", measure)


ChosenChanges = Annotated[Chosen, Depends(chosen_changes)]


@router.get("/compare")
async def compare(request: Request, portal: Here, chosen: ChosenChanges, named: Named = None) -> Response:
    """`jobs` names the baseline and then the later jobs, with commas or one by one."""
    found = await _jobs(portal, named)
    unfinished = [job for job in found if not job.over]
    shown = await compared(portal, found[0], found[1:], chosen) if len(found) > 1 and not unfinished else []
    return portal.renderer.page(
        request,
        "compare.html",
        nav="/compare",
        jobs=found,
        unfinished=unfinished,
        offered=portal.comparisons is not None,
        options=await _options(portal, found),
        compared=shown,
        chosen=chosen,
        filters=dict(chosen.named()),
        filter_options=options(shown),
        reach=reach_of([finding for one in shown for finding in one.changed[:MOST_SHOWN]]),
        others_reach=reach_of([finding for one in shown for finding in one.others[:MOST_SHOWN]]),
        most=MOST_SHOWN,
        answers=_answers,
        schedules=await portal.database.read(schedules.overview),
    )


@router.get("/compare/{name}.{ending}")
async def compare_file(
    name: Literal["changes", "others"], ending: Ending, portal: Here, chosen: ChosenChanges, named: Named = None
) -> Response:
    """The chart of one comparison: `jobs` names the baseline and the later job."""
    found = await _jobs(portal, named)
    if len(found) != 2 or portal.comparisons is None:
        raise RefusedError(422, "a chart is of two jobs", where="jobs", todo="name a baseline and one later job")
    (one,) = await compared(portal, found[0], found[1:], chosen)
    if one.error is not None:
        raise one.error
    if one.document is None:
        raise UnavailableError("the comparison is still being worked out", todo="try again in a few seconds")
    base, other = found
    findings = (one.changed if name == "changes" else one.others)[:MOST_SHOWN]
    title = "What changed" if name == "changes" else "What did not change, or is not shown"
    figure = effects(
        f"{base.id}-{other.id}-{name}",
        f"{title}, from {base.name} to {other.name}",
        notes_of(other, *(f"Not done alike: {told}" for told in one.otherwise[:6]), f"Baseline: job {base.id}."),
        findings,
        reach_of(findings),
        one.smallest,
        texts=one.texts,
    )
    return await figure.respond(ending)


async def _jobs(portal: Portal, named: list[str] | None) -> list[Job]:
    ids = list(dict.fromkeys(name.strip() for given in named or [] for name in given.split(",") if name.strip()))
    if len(ids) > MOST_COMPARED + 1:
        what = f"{len(ids)} jobs are too many to compare on one page"
        raise RefusedError(422, what, where="jobs", todo=f"name a baseline and at most {MOST_COMPARED} later jobs")
    return [await portal.database.read(jobs.get, job_id) for job_id in ids]


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
    narrowed = {"question": finding.question, "model": finding.model, "region": region_of(finding)}
    return url(f"/jobs/{job.id}/executions", **narrowed)
