"""A job's progress page, its live stream, and the buttons on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import fields
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse
from starlette.responses import RedirectResponse

from beacon.domain.plan import execution_id
from beacon.domain.question import Question
from beacon.errors import ConflictError, DatabaseError
from beacon.store import executions, jobs
from beacon.web import forms
from beacon.web.api import HEARTBEAT_S, refuse_retry
from beacon.web.board import CODES, Board, FailureKey
from beacon.web.charts import MOST_MARKS
from beacon.web.pages.job_view import JobView, dimensions
from beacon.web.pages.live import Position, cells_of
from beacon.web.portal import Here, Portal
from beacon.web.text import css, number
from beacon.web.watch import Watch

router = APIRouter(include_in_schema=False)
SEE_OTHER = 303


def view_of(portal: Portal, board: Board) -> JobView:
    return JobView(board, portal.clock.wall(), portal.snapshot() if portal.snapshot else None)


@router.get("/jobs/{job_id}")
async def progress(job_id: str, request: Request, portal: Here) -> Response:
    """The page as it is at one `seq`; a script, where there is one, goes on from there."""
    findings = await portal.summaries.findings_of(job_id)
    view = view_of(portal, await portal.boards.latest(job_id))
    board, shown = view.board, f"/jobs/{job_id}/executions"
    return portal.renderer.page(
        request,
        "job/progress.html",
        v=view,
        dims=dimensions(board.spec),
        kinds=" ".join(css(status) for status in CODES),
        dense=max(board.size_of(region) for region in board.regions) > MOST_MARKS,
        executions=shown,
        question_text=question_text,
        cells_of=lambda question: cells_of(board, question, shown),
        column_totals=" and ".join(number(n) for n in sorted({view.column_total(r) for r in board.regions})),
        findings=findings,
    )


def question_text(question: Question) -> str:
    """In English where there is an English text, else in the first language."""
    return question.texts.get("en") or next(iter(question.texts.values()))


@router.get("/jobs/{job_id}/live")
async def live(job_id: str, portal: Here, after: Annotated[int, Query(ge=-1)] = -1) -> EventSourceResponse:
    """Updates of the page, at most ten a second; the last one, with the job's end, closes the stream."""
    await portal.database.read(jobs.get, job_id)

    async def stream() -> AsyncIterator[bytes]:
        # A database that cannot be read ends the stream: the page says that it lost its connection and asks again.
        with suppress(DatabaseError):
            async with portal.watches.on(job_id) as watch:
                async for message in _updates(portal, job_id, watch, Position(after, -1)):
                    yield message

    return EventSourceResponse(stream(), ping=HEARTBEAT_S)


async def _updates(portal: Portal, job_id: str, watch: Watch, seen: Position) -> AsyncIterator[bytes]:
    while True:
        board = await portal.boards.latest(job_id, at_least=watch.seq)
        page, now = portal.live_pages.of(job_id), portal.clock.wall()
        update = page.update(board, now, partial(view_of, portal, board), seen)
        if update is not None:
            seen = update.position
            yield update.message
        if board.job.over:
            return
        await watch.changed()


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: str, request: Request, portal: Here) -> Response:
    sent = await forms.read(request)
    await portal.actions.cancel(job_id, forms.reason(request, sent) or None)
    return RedirectResponse(f"/jobs/{job_id}", SEE_OTHER)


@router.post("/jobs/{job_id}/end-stragglers")
async def end_stragglers(job_id: str, request: Request, portal: Here) -> Response:
    """Ends what is still under way, so that the job can be finalized without it."""
    sent = await forms.read(request)
    await portal.actions.end_stragglers(job_id, forms.reason(request, sent) or None)
    return RedirectResponse(f"/jobs/{job_id}", SEE_OTHER)


@router.post("/jobs/{job_id}/retry")
async def retry(job_id: str, request: Request, portal: Here) -> Response:
    """Retries the failures of one line of the page, all of a kind, or all of them."""
    sent = await forms.read(request)
    if not sent.get("group"):
        await portal.actions.retry(job_id, kind=sent.get("kind") or None)
    else:
        board = await portal.boards.latest(job_id)
        await portal.actions.retry(job_id, execution_ids=_members(board, sent["group"]))
    return RedirectResponse(f"/jobs/{job_id}", SEE_OTHER)


def _members(board: Board, ref: str) -> list[str]:
    """The ids of a line's executions. Raises ConflictError where none is left."""
    parts = ref.split("|")
    wanted = FailureKey(*parts) if len(parts) == len(fields(FailureKey)) else None
    for group in board.failures():
        if group.key == wanted:
            return [execution_id(board.job.id, ordinal) for ordinal in sorted(group.ordinals)]
    raise ConflictError("none of these executions is failed any more", todo="open the job's page again")


@router.post("/executions/{execution_id}/retry")
async def retry_one(execution_id: str, request: Request, portal: Here) -> Response:
    await forms.read(request)
    row = await portal.database.read(executions.get, execution_id)
    refuse_retry(execution_id, row["status"])
    await portal.actions.retry(row["job_id"], execution_ids=[execution_id])
    return RedirectResponse(f"/jobs/{row['job_id']}", SEE_OTHER)
