"""What operators do to a running house, under `/api/v1`: pauses, limits, stragglers, schedules."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from beacon.runner.schedule import next_tick
from beacon.store import jobs, limits, pauses, schedules
from beacon.store.schedules import Schedule
from beacon.web import body
from beacon.web.api import PROBLEMS
from beacon.web.portal import Here
from beacon.web.shapes import CancelOut, Page, job_out

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
NO_REASON = "no reason given"
Name = Annotated[str, PathParameter(min_length=1, max_length=200, description="a provider or a region of the fleet")]
Why = Annotated[str, Field(max_length=1_000, description="the reason, which the events of every open job keep")]


class PauseIn(BaseModel):
    model_config = {"extra": "forbid"}

    why: Why = NO_REASON


class PauseOut(BaseModel):
    """`paused_at` is in seconds since the epoch."""

    name: str
    why: str
    paused_at: float


class LimitIn(BaseModel):
    """`at_most` counts requests under way at each provider, in each process."""

    model_config = {"extra": "forbid"}

    at_most: int = Field(ge=1, le=1_000_000)
    why: Why = NO_REASON


class LimitOut(BaseModel):
    """`set_at` is in seconds since the epoch."""

    name: str
    at_most: int
    why: str
    set_at: float


class StragglersIn(BaseModel):
    model_config = {"extra": "forbid"}

    why: Why | None = None


class ScheduleIn(BaseModel):
    """`cron` has five fields, in UTC. Each run has a seed of its own unless the spec names one."""

    model_config = {"extra": "forbid"}

    cron: str = Field(max_length=200)
    spec: dict[str, Any] = Field(description="a job spec, beacon.job/v1")


class ScheduleOut(BaseModel):
    """Moments are seconds since the epoch; `seed` is null where each run has one of its own."""

    id: str
    name: str
    cron: str
    seed: int | None
    created_at: float
    last: float | None
    next: float


class TickOut(BaseModel):
    """`job_id` is null for a time that nobody was there to run; `status` is its job's."""

    at: float
    job_id: str | None
    status: str | None


@router.get("/pauses", tags=["operating"])
async def list_pauses(portal: Here) -> Page[PauseOut]:
    found = await portal.database.read(pauses.current)
    return Page(items=[PauseOut.model_validate(pause, from_attributes=True) for pause in found])


@router.put("/pauses/{name}", tags=["operating"])
async def pause(name: Name, portal: Here, wanted: PauseIn | None = None) -> PauseOut:
    """Nothing new is sent to the provider or region, by any process, until the pause is deleted."""
    await portal.actions.pause(name, (wanted or PauseIn()).why)
    found = {one.name: one for one in await portal.database.read(pauses.current)}
    return PauseOut.model_validate(found[name], from_attributes=True)


@router.delete("/pauses/{name}", status_code=204, tags=["operating"])
async def resume(name: Name, portal: Here) -> None:
    """The provider or region takes new work again."""
    await portal.actions.resume(name)


@router.get("/limits", tags=["operating"])
async def list_limits(portal: Here) -> Page[LimitOut]:
    found = await portal.database.read(limits.current)
    return Page(items=[LimitOut.model_validate(limit, from_attributes=True) for limit in found])


@router.put("/limits/{name}", tags=["operating"])
async def limit(name: Name, portal: Here, wanted: LimitIn) -> LimitOut:
    """The provider, or each of the region, has at most so many requests under way in each process, beside the fleet's
    own limit; a limit that stands is replaced."""
    await portal.actions.limit(name, wanted.at_most, wanted.why)
    found = {one.name: one for one in await portal.database.read(limits.current)}
    return LimitOut.model_validate(found[name], from_attributes=True)


@router.delete("/limits/{name}", status_code=204, tags=["operating"])
async def lift(name: Name, portal: Here) -> None:
    """The fleet's own limit alone holds again."""
    await portal.actions.lift(name)


@router.post("/jobs/{job_id}/end-stragglers", status_code=202, tags=["jobs"])
async def end_stragglers(job_id: str, portal: Here, wanted: StragglersIn | None = None) -> CancelOut:
    """What is still open ends as `straggler`; the job completes with its verdict."""
    asked = await portal.actions.end_stragglers(job_id, (wanted or StragglersIn()).why)
    return CancelOut(asked=asked, job=job_out(await portal.database.read(jobs.get, job_id)))


@router.get("/schedules", tags=["operating"])
async def list_schedules(portal: Here) -> Page[ScheduleOut]:
    """Those that stand, oldest first."""
    now = portal.clock.wall()
    return Page(items=[_schedule_out(schedule, now) for schedule in await portal.database.read(schedules.active)])


@router.post("/schedules", status_code=201, tags=["operating"])
async def add_schedule(portal: Here, wanted: ScheduleIn) -> ScheduleOut:
    """Runs the spec at its times, each once, by whoever drives the jobs of the database."""
    document = body.read_text(json.dumps(wanted.spec), "request.json")
    schedule_id = await portal.actions.add_schedule(document, wanted.cron)
    found = {one.id: one for one in await portal.database.read(schedules.active)}
    return _schedule_out(found[schedule_id], portal.clock.wall())


@router.delete("/schedules/{schedule_id}", status_code=204, tags=["operating"])
async def remove_schedule(schedule_id: str, portal: Here) -> None:
    """Ends it; its jobs and its history stay."""
    await portal.actions.remove_schedule(schedule_id)


@router.get("/schedules/{schedule_id}/ticks", tags=["operating"])
async def list_ticks(
    schedule_id: str, portal: Here, limit: Annotated[int, Query(ge=1, le=1_000)] = 50
) -> Page[TickOut]:
    """Its times, newest first: the job of each, or that it was missed; also of one that was ended."""
    found = await portal.database.read(schedules.history, schedule_id, limit)
    return Page(items=[TickOut(at=tick.tick_at, job_id=tick.job_id, status=tick.status) for tick in found])


def _schedule_out(schedule: Schedule, now: float) -> ScheduleOut:
    return ScheduleOut(
        id=schedule.id,
        name=schedule.name,
        cron=schedule.cron,
        seed=schedule.spec.seed if schedule.pins else None,
        created_at=schedule.created_at,
        last=schedule.last_tick,
        next=next_tick(schedule.cron, now),
    )
