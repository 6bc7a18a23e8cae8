"""The list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.store import jobs, summaries
from beacon.store.jobs import Job
from beacon.web import cursors
from beacon.web.board import Counts
from beacon.web.pages.job_view import dimensions
from beacon.web.pages.render import url
from beacon.web.pages.waits import waits_of
from beacon.web.portal import Here, Portal
from beacon.web.shapes import known_cost
from beacon.web.summaries import Found
from beacon.web.text import day, dollars, duration, moment

router = APIRouter(include_in_schema=False)
PAGE = 50
SEE_OTHER = 303
_UNDER_WAY = (JobStatus.QUEUED.value, JobStatus.RUNNING.value, JobStatus.FINALIZING.value)
SPANS = {"24 hours": 86_400, "7 days": 7 * 86_400, "30 days": 30 * 86_400}
"""How far back the list may be cut, by the words that stand in the address."""
STATUSES = [("under way", "under way"), *((s.value, s.value) for s in JobStatus)]


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as a line of the list says it; `note` stands in place of what was found."""

    job: Job
    dims: str
    found: Found | None
    now: float
    waits: Sequence[str] = ()

    @property
    def counts(self) -> Counts:
        return [self.job.counts[status.value] for status in ExecutionStatus]

    @property
    def lost(self) -> int:
        counts = self.job.counts
        return counts["failed"] + counts["timed_out"] + counts["cancelled"]

    @property
    def took(self) -> str | None:
        if self.job.status is JobStatus.QUEUED:
            return None
        return duration(1000 * ((self.job.completed_at or self.now) - (self.job.started_at or self.job.created_at)))

    @property
    def at(self) -> str:
        when = moment(self.job.created_at) or ""
        return (
            when[:5]
            if day(self.job.created_at, self.now) in ("today", "yesterday")
            else day(self.job.created_at, self.now)
        )

    @property
    def cost(self) -> str | None:
        cost = known_cost(self.job)
        if cost is None:
            return None
        return f"over {dollars(cost)}" if self.job.cost_unknown else dollars(cost)

    @property
    def note(self) -> str | None:
        if self.job.status is JobStatus.FINALIZING:
            return self.job.finalize_step or "finalizing"
        return self.job.error if self.job.status is JobStatus.FAILED else None

    @property
    def group(self) -> str:
        if not self.job.over:
            return "Under way"
        told = day(self.job.created_at, self.now)
        return told[:1].upper() + told[1:]


@router.get("/")
async def home() -> Response:
    return RedirectResponse("/jobs", SEE_OTHER)


@router.get("/jobs")
async def list_jobs(
    request: Request,
    portal: Here,
    q: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[str, Query(max_length=40)] = "",
    model: Annotated[str, Query(max_length=200)] = "",
    region: Annotated[str, Query(max_length=100)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Response:
    """Newest first; those under way stand above, on the first page."""
    statuses = _UNDER_WAY if status == "under way" else (status,) if status else ()
    before = cursors.read_job(cursor)
    found = await portal.database.read(
        jobs.list_page,
        limit=PAGE + 1,
        before=before,
        statuses=statuses,
        name_contains=q or None,
        model=model or None,
        region=region or None,
        since=portal.clock.wall() - SPANS[since] if since in SPANS else None,
    )
    chosen = {"q": q, "status": status, "model": model, "region": region, "since": since}
    by_status = await portal.database.read(summaries.jobs_by_status)
    lines = await _lines(portal, found[:PAGE])
    lines.sort(key=lambda line: line.job.over)
    older = url("/jobs", **chosen, cursor=cursors.after_job(found[PAGE - 1])) if len(found) > PAGE else None
    return portal.renderer.page(
        request,
        "jobs.html",
        by_status=by_status,
        empty=not by_status,
        total=sum(by_status.values()),
        shown=len(lines),
        first=cursor is None,
        groups=[(title, list(some)) for title, some in groupby(lines, key=lambda line: line.group)],
        chosen=chosen,
        cleared=not any(chosen.values()),
        newest=url("/jobs", **chosen),
        statuses=STATUSES,
        models=[(name, name) for name in portal.fleet.models],
        regions=[(name, name) for name in portal.fleet.regions],
        spans=[(span, f"last {span}") for span in SPANS],
        older=older,
    )


async def _lines(portal: Portal, found: list[Job]) -> list[JobLine]:
    known = await portal.summaries.of([job.id for job in found])
    waiting = await waits_of(portal, found)
    now = portal.clock.wall()
    return [
        JobLine(job, dimensions(await portal.boards.spec(job.id)), known.get(job.id), now, waiting.get(job.id, ()))
        for job in found
    ]
