"""The eight measures as a page, and what browsers report to two of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from beacon.domain.kpis import DAY_S, History, Kpi, keeps, kpis
from beacon.domain.states import ExecutionStatus
from beacon.store import kpis as kpi_queries
from beacon.store.kpis import Measured
from beacon.web.figures.figure import Ending
from beacon.web.figures.trends import trends
from beacon.web.portal import Here, Portal
from beacon.web.text import duration

router = APIRouter(include_in_schema=False)
SPANS = {"24 hours": 1, "7 days": 7, "30 days": 30, "1 year": 365}
"""Days by the words that stand in the address."""
NO_CONTENT = 204
MOST_LOAD_MS = 600_000
Last = Annotated[str, Query(max_length=10)]
Simulated = Annotated[str, Query(max_length=5)]


@router.get("/kpis")
async def page(
    request: Request,
    portal: Here,
    last: Last = "30 days",
    simulated: Simulated = "",
) -> Response:
    last, history = await _history(portal, last, simulated)
    found = kpis(history)
    context: dict[str, Any] = {
        "kpis": found,
        "met": sum(kpi.met is True for kpi in found),
        "missed": sum(kpi.met is False for kpi in found),
        "unknown": sum(kpi.met is None for kpi in found),
        "jobs": len(history.jobs),
        "executions": sum(job.asked for job in history.jobs),
        "last": last,
        "spans": [(span, f"last {span}") for span in SPANS],
        "simulated": bool(simulated),
        "told": told,
        "spark": spark,
        "keeps": keeps,
    }
    return portal.renderer.page(request, "kpis.html", nav="/kpis", **context)


@router.get("/kpis/trends.{ending}")
async def trends_file(
    ending: Ending,
    portal: Here,
    last: Last = "30 days",
    simulated: Simulated = "",
) -> Response:
    last, history = await _history(portal, last, simulated)
    notes = [f"Jobs that ended in the last {last}; dashed: the target.", "Beacon"]
    if simulated:
        notes.insert(1, "SIMULATED: jobs of simulated and replayed providers are counted.")
    return await trends("beacon-kpis", "KPIs by day", notes, kpis(history), told).respond(ending)


async def _history(portal: Portal, last: str, simulated: str) -> tuple[str, History]:
    """The span that is meant, and what ended in it."""
    last = last if last in SPANS else "30 days"
    since = portal.clock.wall() - SPANS[last] * DAY_S
    return last, await portal.database.read(kpi_queries.history, since, simulated=bool(simulated))


def told(kpi: Kpi, value: float) -> str:
    return f"{100 * value:.4g}%" if kpi.unit == "share" else duration(1000 * value) or ""


def spark(kpi: Kpi) -> dict[str, Any] | None:
    """A line of 144 by 28 through the days that have a value, with the target; None with less than two."""
    if len(kpi.trend) < 2:
        return None
    values = [value for _, value in kpi.trend]
    low, high = min(*values, kpi.target), max(*values, kpi.target)
    first, days = kpi.trend[0][0], kpi.trend[-1][0] - kpi.trend[0][0]

    def y(value: float) -> float:
        return round(24 - 20 * ((value - low) / (high - low) if high > low else 0.5), 1)

    points = [(round(144 * (day - first) / days, 1), y(value)) for day, value in kpi.trend]
    return {
        "goal": y(kpi.target),
        "points": " ".join(f"{x},{height}" for x, height in points),
        "end": points[-1],
        "low": told(kpi, min(values)),
        "high": told(kpi, max(values)),
    }


class PortalLoad(BaseModel):
    """How long a page took from the first request to its end."""

    kind: Literal["portal_load_ms"]
    value: float = Field(ge=0, le=MOST_LOAD_MS)


class LiveFigures(BaseModel):
    """What a live page shows: executions by status, and the seq that it names."""

    kind: Literal["live"]
    job_id: str = Field(max_length=100)
    seq: int = Field(ge=0, lt=2**63)
    counts: dict[ExecutionStatus, int]


class Reported(BaseModel):
    measured: PortalLoad | LiveFigures = Field(discriminator="kind")


@router.post("/measurements", status_code=NO_CONTENT)
async def report(reported: Reported, portal: Here) -> Response:
    """Takes what a page of this server measured of itself; what is shown is judged here, not there."""
    measured, now = reported.measured, portal.clock.wall()
    if isinstance(measured, PortalLoad):
        await portal.database.write(kpi_queries.record, Measured.LOAD, measured.value, now)
        return Response(status_code=NO_CONTENT)
    counts = {status.value: count for status, count in measured.counts.items()}
    right = await portal.database.read(kpi_queries.shown_right, measured.job_id, measured.seq, counts)
    if right is not None:
        await portal.database.write(kpi_queries.record, Measured.ACCURATE, float(right), now)
    return Response(status_code=NO_CONTENT)
