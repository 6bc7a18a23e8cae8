"""The API under `/api/v1`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from beacon.domain.states import ExecutionStatus
from beacon.errors import ConflictError, DatabaseError, DocumentError, InputError
from beacon.runner.explain import Explanation, explain
from beacon.store import executions, jobs, reports
from beacon.store.executions import Filter
from beacon.web import body, cursors
from beacon.web.portal import Here
from beacon.web.problems import MEDIA_TYPE
from beacon.web.shapes import (
    CancelOut,
    ExecutionDetail,
    ExecutionOut,
    JobOut,
    Page,
    RetryIn,
    RetryOut,
    attempt_out,
    execution_out,
    job_out,
)
from beacon.web.watch import Watch

HEARTBEAT_S = 15
"""A comment is sent on a silent event stream this often, below the idle limit of common proxies."""
_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_DESCRIBED = {
    400: "malformed",
    403: "from a page of another site",
    404: "not found",
    405: "method not offered",
    409: "its state forbids it",
    413: "too large",
    415: "media type not read",
    421: "not this host",
    422: "faults in what was sent",
    503: "the database cannot be used",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, **_PROBLEM} for status, description in _DESCRIBED.items()
}
_SPEC_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "description": "a job spec, beacon.job/v1"}},
            "application/yaml": {"schema": {"type": "string", "description": "a job spec, beacon.job/v1"}},
        },
    }
}

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
Limit = Annotated[int, Query(ge=1, le=1_000)]
Cursor = Annotated[str | None, Query(max_length=300)]
Several = Annotated[list[str] | None, Query(max_length=100)]


@router.post("/jobs", status_code=201, openapi_extra=_SPEC_BODY, tags=["jobs"])
async def submit_job(
    request: Request,
    response: Response,
    portal: Here,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> JobOut:
    """Submits a job. With a repeated `Idempotency-Key` the job that it made is returned, with status 200; with
    another spec it is refused, with status 409."""
    document = body.read_spec(await request.body(), request.headers.get("content-type", ""))
    submitted = await portal.actions.submit(document, idempotency_key)
    response.status_code = 201 if submitted.new else 200
    response.headers["Location"] = f"/api/v1/jobs/{submitted.job_id}"
    return job_out(await portal.database.read(jobs.get, submitted.job_id))


@router.get("/jobs", tags=["jobs"])
async def list_jobs(
    portal: Here,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Several = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[JobOut]:
    """Jobs, newest first."""
    before = cursors.read_job(cursor)
    found = await portal.database.read(
        jobs.list_page, limit=limit + 1, before=before, statuses=status or (), name_contains=name
    )
    following = cursors.after_job(found[limit - 1]) if len(found) > limit else None
    return Page(items=[job_out(job) for job in found[:limit]], next_cursor=following)


@router.get("/jobs/{job_id}", tags=["jobs"])
async def get_job(job_id: str, portal: Here) -> JobOut:
    return job_out(await portal.database.read(jobs.get, job_id))


@router.get("/jobs/{job_id}/executions", tags=["executions"])
async def list_executions(
    job_id: str,
    portal: Here,
    limit: Limit = 100,
    cursor: Cursor = None,
    status: Several = None,
    model: Several = None,
    region: Several = None,
    question: Several = None,
    kind: Several = None,
) -> Page[ExecutionOut]:
    """A job's executions in the order of their dispatch, with result and label where there are any."""
    await portal.database.read(jobs.get, job_id)
    chosen = Filter(status or (), model or (), region or (), question or (), kind or ())
    after = cursors.read_ordinal(cursor)
    rows = await portal.database.read(executions.page, job_id, after=after, limit=limit + 1, chosen=chosen)
    following = cursors.after_ordinal(rows[limit - 1]["ordinal"]) if len(rows) > limit else None
    return Page(items=[execution_out(row) for row in rows[:limit]], next_cursor=following)


@router.get("/executions/{execution_id}", tags=["executions"])
async def get_execution(execution_id: str, portal: Here) -> ExecutionDetail:
    """One execution with all its attempts."""
    row = await portal.database.read(executions.get, execution_id)
    attempts = await portal.database.read(executions.attempts_of, execution_id)
    plain = execution_out(row).model_dump()
    return ExecutionDetail(**plain, attempts_made=[attempt_out(attempt) for attempt in attempts])


@router.get("/executions/{execution_id}/explanation", tags=["executions"])
async def explain_execution(execution_id: str, portal: Here) -> Explanation:
    """Where the execution's time went; for one that is not over, what it waits for, since when and until when."""
    providers = portal.snapshot() if portal.snapshot else ()
    return await explain(portal.database, execution_id, portal.clock.wall(), providers)


@router.get("/jobs/{job_id}/report", tags=["jobs"])
async def get_report(job_id: str, portal: Here, version: Annotated[int | None, Query(ge=1)] = None) -> dict[str, Any]:
    """The job's newest report, or an earlier version of it."""
    await portal.database.read(jobs.get, job_id)
    return await portal.database.read(reports.latest_report, job_id, version)


@router.post("/jobs/{job_id}/cancel", status_code=202, tags=["jobs"])
async def cancel_job(job_id: str, portal: Here) -> CancelOut:
    """Asks the job to stop. What has finished is kept; nothing more is sent."""
    asked = await portal.actions.cancel(job_id)
    return CancelOut(asked=asked, job=job_out(await portal.database.read(jobs.get, job_id)))


@router.post("/jobs/{job_id}/retry", status_code=202, tags=["jobs"])
async def retry_job(job_id: str, portal: Here, wanted: RetryIn | None = None) -> RetryOut:
    """Reopens unsuccessful executions: all, those of a kind, or those named."""
    wanted = wanted or RetryIn()
    retried = await portal.actions.retry(job_id, kind=wanted.kind, execution_ids=wanted.execution_ids)
    return RetryOut(count=retried.count, generation=retried.generation)


@router.post("/executions/{execution_id}/retry", status_code=202, tags=["executions"])
async def retry_execution(execution_id: str, portal: Here) -> RetryOut:
    """Reopens one execution that failed, timed out or was cancelled."""
    row = await portal.database.read(executions.get, execution_id)
    refuse_retry(execution_id, row["status"])
    retried = await portal.actions.retry(row["job_id"], execution_ids=[execution_id])
    return RetryOut(count=retried.count, generation=retried.generation)


def refuse_retry(execution_id: str, status: str) -> None:
    """Raises ConflictError unless an execution of this status may be retried."""
    if status == ExecutionStatus.COMPLETED:
        todo = "a recorded result is never replaced; run the job again to ask anew"
        raise ConflictError(f"execution {execution_id} is completed", todo=todo)
    if status in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING, ExecutionStatus.RETRYING):
        raise ConflictError(f"execution {execution_id} is {status}: it is not over yet", todo="wait for its outcome")


@router.get("/jobs/{job_id}/events", tags=["jobs"], response_class=EventSourceResponse)
async def watch_job(
    job_id: str,
    portal: Here,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[int | None, Query(ge=0)] = None,
) -> EventSourceResponse:
    """Server-sent events, each with its `seq` as id; resumes after `Last-Event-ID`. Ends when the job is over."""
    start = resume_point(last_event_id, after)
    await portal.database.read(jobs.get, job_id)

    async def stream() -> AsyncIterator[ServerSentEvent]:
        # A database that cannot be read ends the stream; a client resumes after the last event it has.
        with suppress(DatabaseError):
            async with portal.watches.on(job_id) as watch:
                async for event in _events(watch, start):
                    yield event

    return EventSourceResponse(stream(), ping=HEARTBEAT_S)


async def _events(watch: Watch, seq: int) -> AsyncIterator[ServerSentEvent]:
    while True:
        over = watch.over
        found = await watch.after(seq)
        for event in found:
            seq = event.seq
            data = json.dumps({"seq": event.seq, "at": event.at, "kind": event.kind, **event.data})
            yield ServerSentEvent(data, id=str(event.seq))
        if over and seq >= watch.seq:
            return
        if not found:
            await watch.changed()


def resume_point(last_event_id: str | None, after: int | None) -> int:
    """The seq to go on from; the header, which a browser sends by itself, goes before the parameter."""
    if not last_event_id:
        return after or 0
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        fault = InputError(
            f"not an event's id: {last_event_id!r}", where="Last-Event-ID", todo="send the last id you saw"
        )
        raise DocumentError("the request", [fault])
    return int(last_event_id)
