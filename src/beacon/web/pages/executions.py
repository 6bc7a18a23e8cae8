"""The executions of a job as a list, and one execution with everything about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from beacon.domain.failure import FailureKind
from beacon.domain.spec import JobSpec
from beacon.domain.states import UNSUCCESSFUL, ExecutionStatus, JobStatus
from beacon.errors import ConflictError, InputError
from beacon.runner.labels import MOST_NAME, MOST_REASON, source_of
from beacon.store import executions, jobs, labelling
from beacon.store.executions import Filter
from beacon.store.labelling import Label
from beacon.web import cursors, forms
from beacon.web.pages.job import question_text
from beacon.web.pages.render import url
from beacon.web.pages.waterfall import chart
from beacon.web.portal import Here
from beacon.web.text import unseen, words

router = APIRouter(include_in_schema=False)
PAGE = 50
SEE_OTHER = 303
_ONE = Annotated[str, Query(max_length=200)]
_CLASSES = {
    "substantive": "It answers the question.",
    "evasive": "It neither gives nor refuses an answer.",
    "refusal": "It refuses to answer, or the provider's filter withheld it.",
    "empty": "The text is empty, with a normal end.",
    "failure": "There is no usable answer.",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filters of the list, as they stand in the address; an empty text means all."""

    status: str = ""
    model: str = ""
    region: str = ""
    question: str = ""
    kind: str = ""

    def filter(self) -> Filter:
        statuses = [s.value for s in UNSUCCESSFUL] if self.status == "lost" else [self.status] if self.status else []
        return Filter(
            statuses, *([value] if value else [] for value in (self.model, self.region, self.question, self.kind))
        )

    def told(self) -> str:
        """`status failed, region apac`, or nothing."""
        named = {name: getattr(self, name) for name in ("status", "model", "region", "question", "kind")}
        return ", ".join(f"{name} {words(value)}" for name, value in named.items() if value)


@router.get("/jobs/{job_id}/executions")
async def list_executions(
    job_id: str,
    request: Request,
    portal: Here,
    status: _ONE = "",
    model: _ONE = "",
    region: _ONE = "",
    question: _ONE = "",
    kind: _ONE = "",
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Response:
    """In the order of dispatch."""
    job = await portal.database.read(jobs.get, job_id)
    spec = await portal.boards.spec(job_id)
    chosen = Chosen(status, model, region, question, kind)
    after = cursors.read_ordinal(cursor)
    rows = await portal.database.read(executions.page, job_id, after=after, limit=PAGE + 1, chosen=chosen.filter())
    here = f"/jobs/{job_id}/executions"
    named = {name: getattr(chosen, name) for name in ("status", "model", "region", "question", "kind")}
    following = (
        url(here, **named, cursor=cursors.after_ordinal(rows[PAGE - 1]["ordinal"])) if len(rows) > PAGE else None
    )
    return portal.renderer.page(
        request,
        "executions.html",
        job=job,
        rows=rows[:PAGE],
        chosen=chosen,
        options=_options(spec),
        texts={q.id: question_text(q) for q in spec.questions},
        here=here,
        first=cursor is None,
        following=following,
        findings=await portal.summaries.findings_of(job_id),
    )


def _options(spec: JobSpec) -> dict[str, list[tuple[str, str]]]:
    return {
        "status": [("lost", "lost"), *((s.value, words(s.value)) for s in ExecutionStatus)],
        "model": [(model, model) for model in spec.models],
        "region": [(region, region) for region in spec.regions],
        "question": [(q.id, f"{q.id}: {question_text(q)[:80]}") for q in spec.questions],
        "kind": [(k.value, words(k.value)) for k in FailureKind],
    }


@router.get("/executions/{execution_id}")
async def one_execution(execution_id: str, request: Request, portal: Here) -> Response:
    """What was said, how it was classed and why, and where the time went."""
    row = await portal.database.read(executions.get, execution_id)
    attempts = await portal.database.read(executions.attempts_of, execution_id)
    job = await portal.database.read(jobs.get, row["job_id"])
    spec = await portal.boards.spec(job.id)
    question = spec.question(row["question_id"])
    return portal.renderer.page(
        request,
        "execution.html",
        e=row,
        job=job,
        spec=spec,
        prompt=question.texts.get(row["language"]) or question_text(question),
        system=spec.system_prompt(row["persona"], row["region"], row["language"]),
        unseen=unseen(row["answer"]),
        flags=[flag for flag in (row["flags"] or "").split(",") if flag],
        means=_CLASSES.get(row["label"] or ""),
        attempts=[_attempt(attempt) for attempt in attempts],
        chart=chart(row, attempts),
        siblings=await _siblings(portal, row),
        labels=await portal.database.read(labelling.of, execution_id),
        classes=list(_CLASSES),
        most_name=MOST_NAME,
        most_comment=MOST_REASON,
        may_retry=row["status"] in UNSUCCESSFUL and job.status is not JobStatus.FINALIZING,
    )


@router.post("/executions/{execution_id}/label")
async def label(execution_id: str, request: Request, portal: Here) -> Response:
    """A person's label of the answer, with a comment; it replaces an earlier one by the same person.

    Whoever signed in labels under the name of their key, whatever the form says.
    """
    sent = await forms.read(request)
    row = await portal.database.read(executions.get, execution_id)
    if row["answer"] is None:
        raise ConflictError(f"execution {execution_id} has no answer to label", todo="label one that has")
    if sent.get("label") not in _CLASSES:
        raise InputError(f"{sent.get('label')!r} is no label", where="label", todo=f"choose of {', '.join(_CLASSES)}")
    signed_in: str = request.state.person.name
    source = source_of("person", signed_in or sent.get("who", ""), "who")
    comment = " ".join(sent.get("comment", "").split())[:MOST_REASON] or None
    given = Label(execution_id, source, sent["label"], None, comment, "", portal.clock.wall())
    await portal.database.write(labelling.write, [given])
    return RedirectResponse(f"/executions/{execution_id}#label", SEE_OTHER)


async def _siblings(portal: Here, row: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """All repeats of the same question by the same model, by region."""
    same = Filter(models=[row["model"]], questions=[row["question_id"]])
    found = await portal.database.read(executions.page, row["job_id"], chosen=same)
    spec = await portal.boards.spec(row["job_id"])
    alike = [r for r in found if (r["persona"] == row["persona"])]
    alike.sort(key=lambda r: (r["language"], r["repeat"]))
    return [(region, [r for r in alike if r["region"] == region]) for region in spec.regions]


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    """An attempt with the answer that was kept on it, if it reads as one."""
    kept = json.loads(row["kept_json"]) if row["kept_json"] else None
    return row | {"kept": kept if isinstance(kept, dict) else None}
