"""Answers to one question side by side: two regions, or two repeats of one cell."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from beacon.domain.spec import JobSpec
from beacon.store import executions, jobs
from beacon.store.executions import Filter
from beacon.web.pages.differing import marked
from beacon.web.pages.job import question_text
from beacon.web.portal import Here

router = APIRouter(include_in_schema=False)
_ONE = Annotated[str, Query(max_length=200)]
_REPEAT = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/jobs/{job_id}/pair")
async def pair(
    job_id: str,
    request: Request,
    portal: Here,
    question: _ONE = "",
    model: _ONE = "",
    persona: _ONE = "",
    left: _ONE = "",
    right: _ONE = "",
    left_repeat: _REPEAT = 1,
    right_repeat: _REPEAT = 1,
) -> Response:
    """What is not chosen, or is not of this job, is the first that there is; regions are the first two."""
    job = await portal.database.read(jobs.get, job_id)
    spec = await portal.boards.spec(job_id)
    chosen = {
        "question": _known(question, [q.id for q in spec.questions]),
        "model": _known(model, spec.models),
        "persona": _known(persona, spec.personas),
        "left": _known(left, spec.regions),
        "right": _known(right, spec.regions, 1),
    }
    same = Filter(models=[chosen["model"]], questions=[chosen["question"]], regions=[chosen["left"], chosen["right"]])
    rows = await portal.database.read(executions.page, job_id, chosen=same)
    rows = [row for row in rows if row["persona"] == chosen["persona"]]
    sides = [_side(rows, chosen["left"], left_repeat), _side(rows, chosen["right"], right_repeat)]
    texts = [side["answer"] if side else None for side in sides]
    first, second, compared = marked(texts[0] or "", texts[1] or "")
    return portal.renderer.page(
        request,
        "pair.html",
        job=job,
        spec=spec,
        here=f"/jobs/{job_id}/pair",
        findings=await portal.summaries.findings_of(job_id),
        chosen=chosen | {"left_repeat": str(left_repeat), "right_repeat": str(right_repeat)},
        options=_options(spec),
        sides=list(zip(("side-a", "side-b"), ("left", "right"), sides, (first, second), strict=True)),
        compared=compared and None not in texts,
        equal=None not in texts and texts[0] == texts[1],
        text=question_text(spec.question(chosen["question"])),
    )


def _known(value: str, known: list[str] | tuple[str, ...], place: int = 0) -> str:
    return value if value in known else known[min(place, len(known) - 1)]


def _side(rows: list[dict[str, Any]], region: str, repeat: int) -> dict[str, Any] | None:
    return next((row for row in rows if row["region"] == region and row["repeat"] == repeat - 1), None)


def _options(spec: JobSpec) -> dict[str, list[tuple[str, str]]]:
    regions = [(name, name) for name in spec.regions]
    repeats = [(str(number), str(number)) for number in range(1, spec.repeats + 1)]
    return {
        "question": [(q.id, question_text(q)[:80]) for q in spec.questions],
        "model": [(name, name) for name in spec.models],
        "persona": [(name, name) for name in spec.personas],
        "left": regions,
        "right": regions,
        "left_repeat": repeats,
        "right_repeat": repeats,
    }
