"""Reports of a job, and the end of finalizing."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, func, insert, select

from beacon.domain.states import JobStatus, Verdict
from beacon.errors import NotFoundError
from beacon.store import ledger
from beacon.store.tables import jobs, reports


def add_report(connection: Connection, job_id: str, method: str, document: dict[str, Any], now: float) -> int:
    """Stores a further version of the job's report and returns its number, from 1."""
    ledger.lock_job(connection, job_id)
    newest = connection.scalar(select(func.max(reports.c.version)).where(reports.c.job_id == job_id)) or 0
    generation = connection.scalar(select(jobs.c.generation).where(jobs.c.id == job_id))
    values = {
        "job_id": job_id,
        "version": newest + 1,
        "generation": generation,
        "method": method,
        "created_at": now,
        "document_json": json.dumps(document),
    }
    connection.execute(insert(reports).values(values))
    return newest + 1


def latest_report(connection: Connection, job_id: str, version: int | None = None) -> dict[str, Any]:
    """The newest report, or the one of `version`; raises NotFoundError."""
    query = select(reports.c.document_json).where(reports.c.job_id == job_id).order_by(reports.c.version.desc())
    if version is not None:
        query = query.where(reports.c.version == version)
    text = connection.scalar(query.limit(1))
    if text is None:
        named = f"version {version} of the report" if version is not None else "a report"
        raise NotFoundError(f"job {job_id} has no {named}", todo="reports are made when a job is finalized")
    document: dict[str, Any] = json.loads(text)
    return document


def step(connection: Connection, job_id: str, told: str, now: float) -> None:
    """Says what finalizing is doing, for pages and progress lines."""
    ledger.change_status(connection, job_id, now, {"what": "step", "step": told}, finalize_step=told)


def finish_job(connection: Connection, job_id: str, status: JobStatus, verdict: Verdict, now: float) -> None:
    """finalizing -> completed or cancelled, with the verdict."""
    ledger.change_status(
        connection,
        job_id,
        now,
        {"what": status.value, "verdict": verdict.value},
        status=status.value,
        verdict=verdict.value,
        completed_at=now,
        finalizer=None,
        finalizer_until=None,
        finalize_step=None,
        error=None,
    )


def fail_job(connection: Connection, job_id: str, error: str, now: float) -> None:
    """finalizing -> failed: the job could not be sealed."""
    told = {"what": "failed", "error": error}
    cleared = {"finalizer": None, "finalizer_until": None, "finalize_step": None}
    status = JobStatus.FAILED.value
    ledger.change_status(connection, job_id, now, told, status=status, error=error, completed_at=now, **cleared)
