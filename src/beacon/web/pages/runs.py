"""The runs of a schedule over time: each against one baseline, so that a change is told with interval and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from beacon.errors import NotFoundError
from beacon.store import jobs, schedules
from beacon.store.jobs import Job
from beacon.store.schedules import Tick
from beacon.web.figures.figure import Ending
from beacon.web.figures.over_time import over_time
from beacon.web.pages.compare import ChosenChanges
from beacon.web.pages.comparison import Comparison, compared, options, region_of
from beacon.web.pages.findings import reach_of
from beacon.web.pages.findings_files import notes_of
from beacon.web.pages.findings_view import Finding
from beacon.web.portal import Here, Portal
from beacon.web.text import day, moment

router = APIRouter(include_in_schema=False)
LASTS = (3, 6, 12)
"""How many runs may be looked at; each but the baseline takes an analysis of its own, once."""
MOST_TICKS = 50
MOST_SUBJECTS = 60


@dataclass(frozen=True, slots=True)
class Series:
    """What one measure of one model in one region did: a finding for each later run, None where there is none."""

    model: str | None
    region: str | None
    measure: str
    points: tuple[Finding | None, ...]

    @property
    def name(self) -> str:
        where = f" in {self.region}" if self.region else ""
        return f"{self.model or 'all models'}{where}"

    @property
    def rated(self) -> bool:
        return any(point is not None and point.rated for point in self.points)

    @property
    def changed(self) -> bool:
        return any(point is not None and point.direction != "none" for point in self.points)


@dataclass(frozen=True, slots=True)
class Runs:
    """`ticks` are the newest of the schedule; `base` and the runs that are `compared` with it are over."""

    ticks: list[Tick]
    base: Job | None
    compared: list[Comparison]

    def reaches(self) -> dict[str, float]:
        """By measure, how far its charts reach: shares and distances are on scales of their own."""
        found: dict[str, list[Finding]] = {}
        for one in self.compared:
            for finding in one.findings:
                if finding.question is None:
                    found.setdefault(finding.measure, []).append(finding)
        return {measure: reach_of(some) for measure, some in found.items()}

    def series(self) -> list[Series]:
        """Over all questions: every question at every run could not be read. Those that changed stand first."""
        points: dict[tuple[str | None, str | None, str], list[Finding | None]] = {}
        for place, one in enumerate(self.compared):
            for finding in one.findings:
                if finding.question is None:
                    key = (finding.model, region_of(finding), finding.measure)
                    points.setdefault(key, [None] * len(self.compared))[place] = finding
        found = [Series(*key, tuple(some)) for key, some in points.items()]
        return sorted(found, key=lambda series: (not series.changed, series.model is None))


@router.get("/drift")
async def drift(
    request: Request,
    portal: Here,
    chosen: ChosenChanges,
    schedule: Annotated[str, Query(max_length=100)] = "",
    last: Annotated[int, Query(ge=2, le=max(LASTS))] = LASTS[1],
    base: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """`schedule` is the one that is looked at, `last` how many of its runs, `base` the earliest of them by default."""
    known = await portal.database.read(schedules.overview)
    context: dict[str, Any] = {"schedules": known, "schedule": None, "offered": portal.comparisons is not None}
    if schedule:
        runs = await _runs(portal, schedule, last, base, chosen)
        series = runs.series()
        context |= {
            "schedule": next(one for one in known if one.id == schedule),
            "runs": runs,
            "series": series[:MOST_SUBJECTS],
            "series_total": len(series),
            "reaches": runs.reaches(),
            "smallest": next((one.smallest for one in runs.compared if one.smallest is not None), None),
            "filter_options": options(runs.compared),
            "base_options": [(job.id, _when(portal, job)) for job in await _over(portal, runs.ticks)],
            "lasts": [(str(number), f"{number} runs") for number in LASTS],
        }
    filters = {**dict(chosen.named()), "schedule": schedule, "last": last, "base": base}
    return portal.renderer.page(request, "drift.html", nav="/compare", chosen=chosen, filters=filters, **context)


@router.get("/drift/over-time.{ending}")
async def drift_file(
    ending: Ending,
    portal: Here,
    chosen: ChosenChanges,
    schedule: Annotated[str, Query(max_length=100)],
    last: Annotated[int, Query(ge=2, le=max(LASTS))] = LASTS[1],
    base: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    runs = await _runs(portal, schedule, last, base, chosen)
    if runs.base is None:
        raise NotFoundError("the schedule has no two runs that are over", todo="wait for its next run")
    later = [one.other for one in runs.compared]
    figure = over_time(
        f"schedule-{schedule}-over-time",
        f"{runs.base.name}: change since {_when(portal, runs.base)}",
        notes_of(runs.base, "Each run against the baseline, with intervals; filled where a change holds."),
        [(job.id, _when(portal, job)) for job in later],
        [(one.name, one.measure, one.points) for one in runs.series()[:MOST_SUBJECTS]],
        runs.reaches(),
    )
    return await figure.respond(ending)


async def _runs(portal: Portal, schedule: str, last: int, base: str, chosen: ChosenChanges) -> Runs:
    ticks = await portal.database.read(schedules.history, schedule, MOST_TICKS)
    over = await _over(portal, ticks)
    if len(over) < 2:
        return Runs(ticks, None, [])
    first = next((job for job in over if job.id == base), over[-last:][0])
    later = [job for job in over[-last:] if job.id != first.id]
    return Runs(ticks, first, await compared(portal, first, later, chosen))


async def _over(portal: Portal, ticks: list[Tick]) -> list[Job]:
    """The jobs of these ticks that are over, the earliest first."""
    ids = [tick.job_id for tick in reversed(ticks) if tick.job_id is not None]
    found = [await portal.database.read(jobs.get, job_id) for job_id in ids]
    return [job for job in found if job.over]


def _when(portal: Portal, job: Job) -> str:
    return f"{day(job.created_at, portal.clock.wall())} {(moment(job.created_at) or '')[:5]}"
