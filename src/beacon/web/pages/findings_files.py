"""The charts of the findings page as files, of what its filters leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from beacon.domain.spec import JobSpec
from beacon.store import jobs, reports
from beacon.store.jobs import Job
from beacon.web.figures import world
from beacon.web.figures.effects import effects
from beacon.web.figures.figure import Ending, Figure
from beacon.web.figures.heat import heat
from beacon.web.figures.shares import shares
from beacon.web.pages.findings import ChosenHere, chart_context
from beacon.web.pages.findings_view import Chosen, Finding
from beacon.web.portal import Here, Portal

router = APIRouter(include_in_schema=False)
Name = Literal["differences", "others", "heat", "rates", "map"]


@router.get("/jobs/{job_id}/findings/{name}.{ending}")
async def findings_file(
    job_id: str, name: Name, ending: Ending, portal: Here, request: Request, chosen: ChosenHere
) -> Response:
    """The chart of the page with the same filters."""
    job = await portal.database.read(jobs.get, job_id)
    spec = await portal.boards.spec(job_id)
    document = await portal.database.read(reports.latest_report, job_id)
    figure = _figure(name, portal, job, spec, chart_context(document, spec, chosen), chosen)
    return await figure.respond(ending)


def notes_of(job: Job, *more: str) -> tuple[str, ...]:
    """What stands under every chart of a job, so that it says where it is from when it is seen alone."""
    told = []
    if job.simulated:
        told.append("SIMULATED: the answers come from simulated providers, not from real models.")
    if job.replayed:
        told.append("REPLAYED: the answers were recorded earlier.")
    return (*more, *told, f"Beacon, job {job.id}: {job.name}")


def _figure(name: Name, portal: Portal, job: Job, spec: JobSpec, told: dict[str, Any], chosen: Chosen) -> Figure:
    filtered = [f"Only {key} {value}." for key, value in chosen.named() if value]
    if name in ("differences", "others"):
        return _effects(name, job, told, filtered)
    measure = told["measure"]
    file, share = f"{job.id}-{name}-{measure.replace('_', '-')}", f"Share {told['measure_word']}"
    if name == "heat":
        notes = notes_of(job, "Percent of classified answers. A frame marks a cell that differs.", *filtered)
        return heat(file, f"{share}, percent, question by region", notes, measure, told["heat"], told["texts"])
    if name == "rates":
        notes = notes_of(job, "Share of classified answers with its interval.", *filtered)
        return shares(file, f"{share}, by model and region", notes, measure, told["rates"], told["places"])
    stands = [f"{region}: {named}." for region, named in world.stands_for(spec.regions)]
    notes = notes_of(job, world.MEANS, *stands, *told["map_notes"], *filtered)
    return world.world_map(file, f"{share}, by region", notes, measure, world.of(portal.assets), told["maps"])


def _effects(name: str, job: Job, told: dict[str, Any], filtered: Sequence[str]) -> Figure:
    """The differences, or what is none; the lists of the page."""
    differing = name == "differences"
    found = [*told["overall"], *told["single"]] if differing else told["others"]
    places: dict[str, int] = told["places"]

    def place(finding: Finding) -> int:
        return places.get(finding.groups[-1], 0) if finding.factor == "region" and finding.groups else 0

    return effects(
        f"{job.id}-{name}",
        "What differs, strongest first" if differing else "What does not differ, and what could not be shown",
        notes_of(job, *filtered),
        found,
        told["reach"] if differing else told["others_reach"],
        told["smallest"],
        texts=told["texts"],
        place=place,
    )
