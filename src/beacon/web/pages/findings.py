"""The findings of a job, read from its newest report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from beacon.domain.spec import JobSpec
from beacon.domain.states import UNSUCCESSFUL
from beacon.store import executions, jobs, labelling, reports
from beacon.store.executions import Filter
from beacon.store.jobs import Job
from beacon.store.labelling import Dispute
from beacon.web import lenient
from beacon.web.figures import world
from beacon.web.pages.findings_view import (
    DIFFERENCE,
    MOST_DIFFERENCES,
    MOST_OTHERS,
    NEGLIGIBLE,
    SHOWN,
    Chosen,
    Finding,
    findings_of,
    heat,
    rates,
)
from beacon.web.pages.job import question_text
from beacon.web.pages.job_view import dimensions
from beacon.web.pages.regional import MOST_MAPS, regional
from beacon.web.pages.render import url
from beacon.web.portal import Here, Portal
from beacon.web.summaries import Found
from beacon.web.text import cut, words

router = APIRouter(include_in_schema=False)
_ONE = Annotated[str, Query(max_length=200)]
_SHARE = {"withheld_rate": "withheld", "refusal_rate": "refused", "empty_rate": "empty"}
MOST_LISTED = 50
_REACHES = (0.05, 0.1, 0.2, 0.5, 1.0)


def chosen_here(
    model: _ONE = "",
    region: _ONE = "",
    question: _ONE = "",
    factor: _ONE = "",
    measure: _ONE = "",
    show: _ONE = "",
) -> Chosen:
    """The filters of the address."""
    return Chosen(model, region, question, factor, measure, show if show in SHOWN else "")


ChosenHere = Annotated[Chosen, Depends(chosen_here)]


@router.get("/jobs/{job_id}/findings")
async def findings(
    job_id: str,
    request: Request,
    portal: Here,
    chosen: ChosenHere,
    after: Annotated[int, Query(ge=-1, lt=2**31)] = -1,
) -> Response:
    """What differs and what does not; while there is no report, why not."""
    job = await portal.database.read(jobs.get, job_id)
    spec = await portal.boards.spec(job_id)
    found = (await portal.summaries.of([job_id])).get(job_id)
    shared: dict[str, Any] = {
        "job": job,
        "spec": spec,
        "dims": dimensions(spec),
        "here": f"/jobs/{job_id}/findings",
        "executions": f"/jobs/{job_id}/executions",
        "findings_count": None if found is None else found.differences,
    }
    if found is None:
        return portal.renderer.page(request, "findings_none.html", **shared)
    document = await portal.database.read(reports.latest_report, job_id, found.reference.version)
    failed = await _failed(portal, job_id, chosen) if chosen.show == "failed" else []
    disputed = await _disputed(portal, job_id, chosen, after) if chosen.show == "disputed" else []
    following = disputed[MOST_LISTED - 1].ordinal if len(disputed) > MOST_LISTED else None
    lists: dict[str, Any] = {"failed": failed, "disputed": disputed[:MOST_LISTED], "most": MOST_LISTED}
    lists |= {"following": following, "first_page": after < 0}
    told = _report(document, spec, job, found)
    # One for each of the heat map's columns: encoding every cell's address took most of a large page's time.
    links = {(m, r): url(shared["executions"], model=m, region=r) for m in spec.models for r in spec.regions}
    drawn = {
        "cell_links": links,
        "world": world.of(portal.assets),
        "map_label": world.label,
        "map_spoken": world.spoken,
    }
    charts = chart_context(document, spec, chosen) | drawn | {"map_labels": world.LABELS, "map_means": world.MEANS}
    return portal.renderer.page(request, "findings.html", **lists, **shared, **told, **charts)


async def _failed(portal: Portal, job_id: str, chosen: Chosen) -> list[dict[str, Any]]:
    """The first executions without an answer that the filters leave, and one more where there are more."""
    named = [[value] if value else [] for value in (chosen.model, chosen.region, chosen.question)]
    lost = Filter([status.value for status in UNSUCCESSFUL], *named)
    return await portal.database.read(executions.page, job_id, limit=MOST_LISTED + 1, chosen=lost)


async def _disputed(portal: Portal, job_id: str, chosen: Chosen, after: int) -> list[Dispute]:
    """Disputed answers after that place that the filters leave, and one more where there are more."""
    named = [[value] if value else [] for value in (chosen.model, chosen.region, chosen.question)]
    narrowed = Filter([], *named)
    return await portal.database.read(labelling.disputes, job_id, after=after, limit=MOST_LISTED + 1, chosen=narrowed)


def _measure(document: dict[str, Any], chosen: Chosen) -> str:
    measures = lenient.mapping(document.get("measures"))
    return chosen.measure if chosen.measure in measures else next(iter(measures), "withheld_rate")


def chart_context(document: dict[str, Any], spec: JobSpec, chosen: Chosen) -> dict[str, Any]:
    """What the charts show under these filters, on the page and as files."""
    every = findings_of(document)
    taken = [finding for finding in every if chosen.takes(finding)]
    differing = [finding for finding in taken if finding.call == DIFFERENCE]
    others = [finding for finding in taken if finding.call != DIFFERENCE]
    others.sort(key=lambda finding: (finding.question is not None, finding.call == NEGLIGIBLE))
    shown = _measure(document, chosen)
    settings = lenient.mapping(document.get("settings"))
    maps = regional(document, spec, shown, chosen)
    return {
        "chosen": chosen,
        "options": _options(every, spec),
        "overall": [finding for finding in differing if finding.question is None],
        "single": [finding for finding in differing if finding.question is not None][:MOST_DIFFERENCES],
        "differing": len(differing),
        "others": others[:MOST_OTHERS],
        "others_total": len(others),
        "reach": reach_of(differing),
        "others_reach": reach_of(others[:MOST_OTHERS]),
        "smallest": lenient.number(settings.get("smallest_effect")),
        "measure": shown,
        "measure_word": _SHARE.get(shown, words(shown)),
        "heat": chosen.cut(heat(document, spec, shown, every)),
        "filters_given": dict(chosen.named()),
        "filters": dict(chosen.named()) | {"measure": shown},
        "heads": [
            (m, [r for r in spec.regions if chosen.region in ("", r)]) for m in spec.models if chosen.model in ("", m)
        ],
        "rates": chosen.arms(rates(document, spec, shown)),
        "maps": maps[:MOST_MAPS],
        "maps_more": max(0, len(maps) - MOST_MAPS),
        "map_notes": _map_notes(spec, chosen),
        "map_stands": world.stands_for([share.region for share in maps[0].shares] if maps else []),
        "off_map": [region for region in spec.regions if region not in world.COUNTRIES],
        "places": {region: place for place, region in enumerate(spec.regions)},
        "texts": {q.id: question_text(q) for q in spec.questions},
    }


def _map_notes(spec: JobSpec, chosen: Chosen) -> list[str]:
    """What else than the region varies from one shade to the other."""
    told = []
    if isinstance(spec.languages, dict):
        asked = ", ".join(f"{region} in {spec.languages[region]}" for region in spec.regions)
        told.append(f"Regions were asked in different languages ({asked}): a shade is of both together.")
    told += [f"Of one question alone: {cut(question_text(q), 120)}" for q in spec.questions if q.id == chosen.question]
    return told


def _report(document: dict[str, Any], spec: JobSpec, job: Job, found: Found) -> dict[str, Any]:
    """What the report says beside its charts."""
    settings = lenient.mapping(document.get("settings"))
    return {
        "notices": lenient.texts(document.get("notices")),
        "alpha": lenient.number(settings.get("alpha")),
        "draws": lenient.count(settings.get("draws")),
        "analysis_seed": lenient.count(settings.get("seed")),
        "measures": lenient.mapping(document.get("measures")),
        "quality": lenient.mapping(document.get("data_quality")),
        "missing_by": lenient.mappings(lenient.mapping(document.get("data_quality")).get("missing_by")),
        "families": lenient.mappings(document.get("families")),
        "not_tested": lenient.mappings(document.get("not_tested")),
        "method": lenient.text(document.get("method")),
        "limits": lenient.texts(document.get("limits")),
        "reference": found.reference,
        "stale": found.reference.generation != job.generation,
        "found": found,
    }


def _options(every: Sequence[Finding], spec: JobSpec) -> dict[str, list[tuple[str, str]]]:
    def seen(name: str) -> list[tuple[str, str]]:
        return [(value, words(value)) for value in dict.fromkeys(getattr(finding, name) for finding in every)]

    with_findings = {finding.question for finding in every}
    return {
        "model": [(name, name) for name in spec.models],
        "region": [(name, name) for name in spec.regions],
        "question": [(q.id, question_text(q)[:80]) for q in spec.questions if q.id in with_findings],
        "factor": seen("factor"),
        "measure": seen("measure"),
        "show": list(SHOWN.items()),
    }


def reach_of(findings: Sequence[Finding]) -> float:
    """The end of an axis that holds all effects and intervals, one of a few round numbers."""
    ends = [abs(end) for finding in findings for end in (finding.interval or (finding.effect or 0.0,))]
    largest = max(ends, default=0.0)
    return next((reach for reach in _REACHES if reach >= largest), 1.0)
